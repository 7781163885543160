// What is needed to test an adapter of one's own: the laws it must keep, and chance that repeats.

export type { Chance } from './random.ts'
export { seeded } from './random.ts'
export type { StoreLaw, StoreLawOptions, StoreUnderLaw } from './store-laws.ts'
export { storeLaws } from './store-laws.ts'
export type { Random, TypeLaw, TypeSample } from './type-laws.ts'
export { checkLaw, documentTypeLaws, LawBroken, seededRandom } from './type-laws.ts'
