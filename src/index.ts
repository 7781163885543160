// What both ends of Inkwell share: the text type, its ops, and the contract that other document types fulfil.
// Invariant: nothing here needs a server, a browser or a clock.
export { composeAll, mapPosition, mapPositions, mapSelection, type Selection } from './ot/algebra.ts'
export {
  type Edit,
  fromEdits,
  insert,
  longestText,
  remove,
  replace,
  type TextOp,
  TextOpBuilder,
  textOp,
  toEdits,
} from './ot/op.ts'
export { fromOttype, type Ottype, type PlainOttype, textOttype, toOttype } from './ot/ottypes.ts'
export { Text } from './ot/rope.ts'
export { servedText as textType } from './ot/served.ts'
export { snapOutward } from './ot/text.ts'
export { type AnyDocumentType, type DocumentType, type Json, OpError, type Side } from './ot/type.ts'
