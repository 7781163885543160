// A hash of text that can be put together from the hashes of its pieces, so that an edit makes only its own piece be read again.
// Invariant: the sum of two texts one after the other is the join of their sums; docs/PROTOCOL.md says how to compute it elsewhere.

/** Two polynomials in the code units, modulo 2^32, and the powers by which what stands before the text is multiplied. */
export interface Sum {
  readonly a: number
  readonly b: number
  readonly powerA: number
  readonly powerB: number
}

const multiplierA = 0x01000193
const multiplierB = 0x85ebca6b

export const nothing: Sum = { a: 0, b: 0, powerA: 1, powerB: 1 }

export const sumOf = (pieces: readonly string[]): Sum => {
  let a = 0
  let b = 0
  let length = 0
  for (const piece of pieces) {
    length += piece.length
    for (let i = 0; i < piece.length; i++) {
      // Stirred, as otherwise changes would cancel out at distances that are powers of two.
      let unit = Math.imul(piece.charCodeAt(i) + 1, 0x9e3779b1)
      unit ^= unit >>> 15
      a = (Math.imul(a, multiplierA) + unit) | 0
      b = (Math.imul(b, multiplierB) + unit) | 0
    }
  }
  return { a, b, powerA: power(multiplierA, length), powerB: power(multiplierB, length) }
}

export const join = (first: Sum, second: Sum): Sum => ({
  a: (Math.imul(first.a, second.powerA) + second.a) | 0,
  b: (Math.imul(first.b, second.powerB) + second.b) | 0,
  powerA: Math.imul(first.powerA, second.powerA),
  powerB: Math.imul(first.powerB, second.powerB),
})

/** 16 digits in lower case, the first polynomial first. */
export const hexOf = ({ a, b }: Sum): string => hex(a) + hex(b)

const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0')

const power = (base: number, exponent: number): number => {
  let result = 1
  for (let [square, left] = [base, exponent]; left > 0; square = Math.imul(square, square), left >>>= 1)
    if (left % 2 === 1) result = Math.imul(result, square)
  return result
}
