// What must be refused, told from docs/PROTOCOL.md and not from the code that is being tried.
// Invariant: `sound` says no only to what no server may take; whether a right, a place or a text stands against it is another matter.

const whole = (value: unknown, least = 0): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= least && value < 2 ** 48

const formed = (text: string): boolean => !/\p{Cs}/u.test(text)
const bytes = (text: string): number => Buffer.byteLength(text)

const name = (value: unknown, most: number): boolean =>
  typeof value === 'string' && value !== '' && formed(value) && bytes(value) <= most && !/\p{Cc}/u.test(value)

const object = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Bytes in MessagePack, at least; null: it is no JSON that may be carried. */
const size = (value: unknown, depth = 0, count = { values: 0 }): number | null => {
  if (++count.values > 65_536) return null
  if (typeof value === 'string') return formed(value) ? bytes(value) + 1 : null
  if (typeof value === 'number') return Number.isFinite(value) ? 1 : null
  if (value === null || typeof value === 'boolean') return 1
  if (typeof value !== 'object' || depth >= 32) return null
  let sum = 1
  for (const [key, inside] of Object.entries(value)) {
    if (!Array.isArray(value)) {
      if (['__proto__', 'constructor', 'prototype'].includes(key) || !formed(key)) return null
      sum += bytes(key) + 1
      count.values += 7 // a value with a key counts as eight
    }
    const more = size(inside, depth + 1, count)
    if (more === null) return null
    sum += more
  }
  return sum
}
const within = (value: unknown, most: number): boolean => {
  const has = size(value)
  return has !== null && has <= most
}

const position = (value: unknown): boolean =>
  positionInEpoch(value) && typeof value.epoch === 'string' && /^[\w-]{1,32}$/.test(value.epoch)

const positionInEpoch = (value: unknown): value is { readonly epoch?: unknown } =>
  object(value) && whole(value.version) && typeof value.chain === 'string' && /^[0-9a-f]{16}$/.test(value.chain)

/** An op of a text, as far as it can be told without the text. */
const textOp = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.length <= 65_536 &&
  value.every(part =>
    typeof part === 'string' ? formed(part) : Number.isInteger(part) && part !== 0 && Math.abs(part) < 2 ** 31,
  )

export const sound = (kind: string, given: unknown): boolean => {
  if (!object(given)) return false
  const own = (key: string): unknown => (Object.hasOwn(given, key) ? given[key] : undefined)
  switch (kind) {
    case 'join':
      return name(own('doc'), 256) && name(own('type'), 256) && (own('position') === null || position(own('position')))
    case 'leave':
      return whole(own('handle'))
    case 'submit':
      return whole(own('handle')) && whole(own('seq'), 1) && positionInEpoch(own('position')) && textOp(own('op'))
    case 'present':
      return whole(own('handle')) && whole(own('version')) && object(own('state')) && within(own('state'), 4_096)
    case 'signal':
      return whole(own('handle')) && name(own('name'), 64) && within(own('payload'), 16_384)
    case 'probe':
      return true
    case 'authenticate': {
      const token = own('token')
      return typeof token === 'string' && formed(token) && bytes(token) <= 8_192
    }
    default:
      return false
  }
}

export const soundHello = (given: unknown): boolean => {
  if (!object(given)) return false
  const { protocol, key, token } = given
  return (
    Array.isArray(protocol) &&
    protocol.length === 2 &&
    protocol.every(version => whole(version, 1)) &&
    protocol[0] <= 1 &&
    protocol[1] >= 1 &&
    typeof key === 'string' &&
    /^[\w-]{22}$/.test(key) &&
    (token === undefined || (typeof token === 'string' && formed(token) && bytes(token) <= 8_192))
  )
}
