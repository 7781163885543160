// A text op as two smaller ones, for whoever may send only so much at a time.
// Invariant: first, then rest, is the op; no insert is cut between the halves of a surrogate pair.
import type { TextOp } from './op.ts'
import type { Most } from './type.ts'

/** An edit counts for as much as it can be at most: a keep, an insert and a delete. */
const editComponents = 3

/** Bytes of an edit beside its text, in any form in which ops travel. */
const editBytes = 30

/** What is always within `most`, so that every split gets on: an edit of one character. */
const least: Most = { components: editComponents, bytes: 2 * editBytes }

/** Null when the op is within `most`; else as much of it as is, and the rest. */
export function split({ baseLength, targetLength, edits, inserted }: TextOp, most: Most): readonly [TextOp, TextOp] | null {
  const components = Math.max(most.components, least.components)
  let bytes = Math.max(most.bytes, least.bytes)
  if (edits.length <= components && inserted.length * 3 + (edits.length / 3) * editBytes <= bytes) return null
  let used = 0 // of inserted
  let at = 0 // in the text that the first op leaves
  let deleted = 0
  for (let i = 0; i < edits.length; i += 3) {
    const skip = edits[i]!
    const gone = edits[i + 1]!
    const count = edits[i + 2]!
    bytes -= editBytes
    const taken = i + editComponents > components || bytes < 0 ? -1 : within(inserted, used, count, bytes)
    if (taken === count) {
      bytes -= utf8Bytes(inserted, used, used + count)
      used += count
      at += skip + count
      deleted += gone
      continue
    }
    const cut = Math.max(0, taken)
    used += cut
    const length = baseLength + used - deleted
    const first = cut > 0 ? edits.slice(0, i).concat([skip, 0, cut]) : edits.slice(0, i)
    const rest = [at + skip + cut, gone, count - cut].concat(edits.slice(i + 3))
    return [
      { baseLength, targetLength: length, edits: first, inserted: inserted.slice(0, used) },
      { baseLength: length, targetLength, edits: rest, inserted: inserted.slice(used) },
    ]
  }
  return null
}

/** How many of the `count` units from `from` on have at most so many bytes in UTF-8; no pair is parted. */
function within(text: string, from: number, count: number, bytes: number): number {
  if (count * 3 <= bytes) return count
  let left = bytes
  for (let at = from; at < from + count; ) {
    const high = text.charCodeAt(at)
    const next = high >= 0xd800 && high < 0xdc00 ? at + 2 : at + 1
    left -= utf8Bytes(text, at, next)
    if (left < 0) return at - from
    at = next
  }
  return count
}

function utf8Bytes(text: string, from: number, to: number): number {
  let bytes = 0
  for (let i = from; i < to; i++) {
    const unit = text.charCodeAt(i)
    // Each half of a pair counts for two of its four bytes.
    bytes += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3
  }
  return bytes
}
