// Stands for what the engine's memory store takes of `node:crypto`, in a page.

export const randomBytes = (count: number): { toString(): string } => ({
  toString: () => Array.from(crypto.getRandomValues(new Uint8Array(count)), byte => byte.toString(16)).join(''),
})

/** Not SHA-1: here nobody forges histories. */
export const hash = (_: string, input: string): string => {
  let [a, b] = [1, 2]
  for (let i = 0; i < input.length; i++) {
    a = Math.imul(a ^ input.charCodeAt(i), 0x01000193) >>> 0
    b = Math.imul(b + input.charCodeAt(i), 0x85ebca6b) >>> 0
  }
  return [a, b, a ^ b].map(word => (word >>> 0).toString(16).padStart(8, '0')).join('')
}
