// Text ops as JSON: `[52341,"x"]` keeps 52341 units and inserts x; a negative number deletes.
// Invariant: an op has exactly one JSON form, and nothing but that form is read.
import { isWellFormed, longestText, type TextOp } from './op.ts'
import { OpError } from './type.ts'

/** Positive: keep so many units. Negative: delete so many. Text: insert it. No keep at the end, insert before delete. */
export type TextOpJson = readonly (number | string)[]

export function opToJson(op: TextOp): TextOpJson {
  const { edits, inserted } = op
  const out: (number | string)[] = []
  let used = 0
  for (let i = 0; i < edits.length; i += 3) {
    const skip = edits[i]!
    const deleted = edits[i + 1]!
    const count = edits[i + 2]!
    if (skip > 0) out.push(skip)
    if (count > 0) out.push(inserted.slice(used, (used += count)))
    if (deleted > 0) out.push(-deleted)
  }
  return out
}

const keep = 1
const put = 2
const drop = 3

/**
 * Reads untrusted JSON as an op on a text of `baseLength`, without the text, in time linear in the number of components.
 * What is not in normal form is refused, not mended: the sender's idea of its op would differ from ours.
 *
 * @throws {OpError} naming the component and the limit that it broke
 */
export function opFromJson(json: unknown, baseLength: number): TextOp {
  if (!Array.isArray(json)) throw new OpError(`op is ${show(json)}, not an array of components`)
  if (!(Number.isSafeInteger(baseLength) && baseLength >= 0 && baseLength <= longestText)) {
    throw new OpError(`base length ${baseLength} is not a whole number from 0 to ${longestText}`)
  }
  const edits: number[] = []
  let inserted = ''
  let at = 0
  let deleted = 0
  let skip = 0
  let before = 0 // kind of the component before this one
  for (let i = 0; i < json.length; i++) {
    const component: unknown = json[i]
    if (typeof component === 'string') {
      if (component === '') throw new OpError(`component ${i} inserts nothing`)
      if (before === put) throw new OpError(`component ${i} inserts where component ${i - 1} already did: write one insert`)
      if (before === drop) throw new OpError(`component ${i} inserts behind a delete: at one place the insert comes first`)
      if (!isWellFormed(component)) throw new OpError(`component ${i} inserts a lone surrogate: ${show(component)}`)
      edits.push(skip, 0, component.length)
      inserted += component
      skip = 0
      before = put
      continue
    }
    if (!Number.isSafeInteger(component) || component === 0) {
      throw new OpError(`component ${i} is ${show(component)}: neither text nor a whole number other than 0`)
    }
    const count = component as number
    at += count > 0 ? count : -count
    if (at > baseLength) throw new OpError(`component ${i}, ${count}, reaches ${at}: the base ends at ${baseLength}`)
    if (count > 0) {
      if (before === keep) throw new OpError(`component ${i} keeps where component ${i - 1} already did: write one number`)
      if (i === json.length - 1) throw new OpError(`component ${i} keeps ${count} at the end: what is left is kept unsaid`)
      skip = count
      before = keep
      continue
    }
    if (before === drop) throw new OpError(`component ${i} deletes where component ${i - 1} already did: write one number`)
    if (before === put) edits[edits.length - 2] = -count
    else edits.push(skip, -count, 0)
    deleted -= count
    skip = 0
    before = drop
  }
  const targetLength = baseLength - deleted + inserted.length
  if (targetLength > longestText) throw new OpError(`op leads to ${targetLength} units: the longest text is ${longestText}`)
  return { baseLength, targetLength, edits: edits.slice(), inserted }
}

/**
 * The shortest text that the JSON of an op can be an op on. The JSON does not carry its base length: whoever lacks it (the
 * ottypes convention does) takes this one, as a keep at the end is endless.
 */
export function shortestBase(json: unknown): number {
  if (!Array.isArray(json)) return 0
  let length = 0
  for (const component of json) if (typeof component === 'number') length += Math.abs(component)
  return length
}

const longestShown = 60 // characters of an offending value in an error's message

function show(value: unknown): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value)
  if (typeof value === 'string') return JSON.stringify(value.slice(0, longestShown))
  if (Array.isArray(value)) return 'an array'
  return value === null ? 'null' : typeof value === 'object' ? 'an object' : String(value).slice(0, longestShown)
}
