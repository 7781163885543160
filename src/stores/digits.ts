// What is written by hand into bytes: digits, letters, others' bytes.
// Invariant: the digits of a number are those of `String`.

const zero = 0x30
const quick = 1_000_000_000 // below it all of this is whole numbers of 32 bits

/** Puts them at this place; answers the place behind. */
export const putNumber = (bytes: Uint8Array, at: number, number: number): number => {
  if (!(number >= 0 && number < quick) || number !== Math.floor(number)) return putAscii(bytes, at, String(number))
  let rest = number | 0
  let end = at + 1
  for (let limit = 10; rest >= limit; limit *= 10) end++
  for (let place = end - 1; place >= at; place--) {
    const tenth = (rest / 10) | 0
    bytes[place] = zero + rest - 10 * tenth
    rest = tenth
  }
  return end
}

export const putAscii = (bytes: Uint8Array, at: number, text: string): number => {
  for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i)
  return at
}

export const putBytes = (bytes: Uint8Array, at: number, source: Uint8Array, from: number, to: number): number => {
  for (let i = from; i < to; i++) bytes[at++] = source[i]!
  return at
}

export const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView => new DataView(buffer, byteOffset, byteLength)
