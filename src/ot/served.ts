// The text type as servers have it: it composes and applies many ops at once, and has a hand for long histories.
// Invariant: in all else it is the client's. Apart from it because no page has so many, and none should have to load how.
import { composeAll } from './algebra.ts'
import { TextHand } from './hand.ts'
import type { TextOp } from './op.ts'
import { applyAll, type Text } from './rope.ts'
import { textType } from './text.ts'
import type { DocumentType } from './type.ts'

export const servedText: DocumentType<Text, TextOp> = { ...textType, composeAll, applyAll, hand: text => new TextHand(text) }
