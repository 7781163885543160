// Where Redis is, as people write it.
// Invariant: an address that is read is complete; a faulty one is refused with a sentence that does not repeat its password.

export interface Endpoint {
  readonly host: string
  readonly port: number
}

interface Access {
  readonly tls: boolean
  readonly username: string | null
  readonly password: string | null
}

export type Address = Access &
  (
    | { readonly kind: 'standalone'; readonly at: Endpoint; readonly db: number }
    /** `master`: the name under which the sentinels know it. */
    | { readonly kind: 'sentinel'; readonly at: readonly Endpoint[]; readonly master: string; readonly db: number }
    | { readonly kind: 'cluster'; readonly at: readonly Endpoint[] }
  )

/** What may stand after the question mark: `?prefix=inkwell:&replicas=1&volatile=true`. */
export interface AddressOptions {
  readonly prefix?: string
  readonly replicas?: number
  readonly volatile?: boolean
}

export interface ReadAddress {
  readonly address: Address
  readonly options: AddressOptions
  /** For people: without user and password. */
  readonly name: string
}

const forms =
  'redis://[user:password@]host[:6379][/db], redis+sentinel://host[:26379][,host…]/name[/db] or ' +
  'redis+cluster://host[:6379][,host…]; rediss for TLS'

const shape = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:(.*)@)?([^@/?]+)(?:\/([^?]*))?(?:\?(.*))?$/s

/**
 * Reads
 *
 *     redis://[[user]:password@]host[:port][/db]                          one server
 *     redis+sentinel://[[user]:password@]host[:port][,host[:port]…]/name[/db]   whichever the sentinels call the master
 *     redis+cluster://[[user]:password@]host[:port][,host[:port]…]             a Redis Cluster, by some of its nodes
 *
 * with `rediss` instead of `redis` for TLS, and after a `?` any of `prefix`, `replicas`, `volatile`. User and password are
 * percent-encoded; those of a sentinel address are the master's.
 *
 * @throws with one sentence about what is wrong
 */
export const readAddress = (url: string): ReadAddress => {
  const match = shape.exec(url)
  if (match === null) throw new Error(`is no address of a Redis: ${forms}`)
  const [, scheme, topology = 'standalone', credentials, hosts, path = '', query = ''] = match as unknown as readonly string[]
  const access = { tls: scheme === 'rediss', ...accessOf(credentials) }
  const at = hosts!.split(',').map(host => endpointOf(host, topology === 'sentinel' ? 26_379 : 6_379))
  const options = optionsOf(query)
  const name = `${scheme}${topology === 'standalone' ? '' : `+${topology}`}://${hosts}${path === '' ? '' : `/${path}`}`
  const parts = path === '' ? [] : path.split('/')
  if (topology === 'cluster') {
    if (parts.length > 0) throw new Error('a cluster has no numbered databases: nothing may follow the hosts')
    return { address: { ...access, kind: 'cluster', at }, options, name }
  }
  if (topology === 'sentinel') {
    const [master = '', db = '0', ...rest] = parts
    if (master === '' || rest.length > 0) throw new Error('a sentinel address ends in the name of the master, /name or /name/db')
    return { address: { ...access, kind: 'sentinel', at, master: decodeURIComponent(master), db: dbOf(db) }, options, name }
  }
  const [db = '0', ...rest] = parts
  if (at.length > 1) throw new Error(`several hosts are a cluster or sentinels: ${forms}`)
  if (rest.length > 0) throw new Error('only the number of a database may follow the host')
  return { address: { ...access, kind: 'standalone', at: at[0]!, db: dbOf(db === '' ? '0' : db) }, options, name }
}

/** What is wrong with an address, in one sentence; null: nothing. */
export const redisFault = (url: string): string | null => {
  try {
    readAddress(url)
    return null
  } catch (error) {
    return (error as Error).message
  }
}

/** @throws when it would move the hash tag by which a document's keys lie together */
export const soundPrefix = (prefix: string): string => {
  if (/^[^{}\s]{0,64}$/.test(prefix)) return prefix
  throw new Error(`a prefix has at most 64 characters, none of them a brace or white space, not ${JSON.stringify(prefix)}`)
}

const accessOf = (text: string | undefined): Pick<Access, 'username' | 'password'> => {
  if (text === undefined) return { username: null, password: null }
  const colon = text.indexOf(':')
  const [username, password] = colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
  try {
    return {
      username: username === '' ? null : decodeURIComponent(username),
      password: password === '' ? null : decodeURIComponent(password),
    }
  } catch {
    throw new Error('user and password must be percent-encoded') // a % that begins no code
  }
}

const endpointOf = (text: string, otherwise: number): Endpoint => {
  const match = /^(\[[0-9a-fA-F:.%]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/.exec(text)
  const port = Number(match?.[2] ?? otherwise)
  if (match === null || port > 65_535 || port === 0) throw new Error(`${JSON.stringify(text)} is no host, or host:port`)
  return { host: match[1]!.replace(/^\[|\]$/g, ''), port }
}

const dbOf = (text: string): number => {
  if (!/^\d{1,5}$/.test(text)) throw new Error(`a database is a number, not ${JSON.stringify(text)}`)
  return Number(text)
}

const optionsOf = (query: string): AddressOptions => {
  const options: { prefix?: string; replicas?: number; volatile?: boolean } = {}
  for (const [name, value] of new URLSearchParams(query)) {
    if (name === 'prefix') options.prefix = soundPrefix(value)
    else if (name === 'replicas' && /^\d{1,2}$/.test(value)) options.replicas = Number(value)
    else if (name === 'volatile' && /^(true|false)$/.test(value)) options.volatile = value === 'true'
    else throw new Error(`${name}=${value} is none of prefix=…, replicas=<number>, volatile=true`)
  }
  return options
}
