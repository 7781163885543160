// One editor view bound to one document, both ways.
// Invariant: `behind` always leads from the view's text to the document's, unless `adrift`, and then the view is read anew from it.

import {
  Annotation,
  ChangeSet,
  EditorSelection,
  EditorState,
  StateEffect,
  StateField,
  Transaction,
  type TransactionSpec,
} from '@codemirror/state'
import type { EditorView, PluginValue, ViewUpdate } from '@codemirror/view'
import type { Change, Peer, PresenceState, Range, TextDocument } from '../client/index.ts'
import { InkwellError } from '../client/index.ts'
import { mapSelection } from '../ot/algebra.ts'
import type { TextOp } from '../ot/op.ts'
import type { Text } from '../ot/rope.ts'
import { textType } from '../ot/text.ts'
import { changesOfOp, opOfChanges, replacementCharacter, replacing, snapped } from './convert.ts'
import { caretField, caretsOf, carried, nameOf, sameCarets, showCarets } from './peers.ts'

export interface CollaborationOptions {
  /**
   * What to tell the others of oneself besides the selection, such as `{ name: 'Ada' }`. Asked each time; see `presenceChanged`. With
   * this binding `doc.presence.set` is not for the application: each of the two would overwrite what the other said.
   */
  readonly presence?: () => PresenceState
  /**
   * The name at a peer's caret. Default: the one in its presence state, which is its own word, else the user's. Where people must not
   * pass for others: `({ user }) => user.name`, which the server vouches for.
   */
  readonly nameOf?: (peer: Peer) => string
}

/** Dispatch it when what the option `presence` answers has changed. */
export const presenceChanged = StateEffect.define<null>()

/** On what comes from the document: not to be sent back. */
const fromDocument = Annotation.define<true>()

/** On what an undo may take back. */
const undoable = Annotation.define<true>()

const setWritable = StateEffect.define<boolean>()

/** Whether the document takes edits. Offline it does, unless it did not before. */
export const writableField = StateField.define<boolean>({
  create: () => true,
  update: (writable, { effects }) => effects.find(effect => effect.is(setWritable))?.value ?? writable,
  provide: field => EditorState.readOnly.from(field, writable => !writable),
})

export const isWritable = ({ status }: TextDocument, before: boolean): boolean =>
  status === 'offline' ? before : status === 'saved' || status === 'saving'

/**
 * Undo is the document's, which knows whose edits are whose. CodeMirror's `history()`, should somebody have added it (basicSetup
 * does), is told to pass everything by: it stays empty, and no key, button or command of it can take back another's edit.
 */
export const undoIsTheDocuments = EditorState.transactionExtender.of(transaction =>
  transaction.annotation(Transaction.addToHistory) === false
    ? null
    : { annotations: [Transaction.addToHistory.of(false), undoable.of(true)] },
)

/** What CodeMirror's history joins with the edit before it. */
const joining = /^(input\.type|delete)($|\.)/

/** Milliseconds after which others' edits are shown although no frame has come: a page that nobody looks at has none. */
const showWithin = 250

/** Changes gathered at most until they are shown; what is gathered is one op, and each that is added to it costs as much as it is long. */
const mostGathered = 500

/** Ranges told to the others at most; each of them sends them on to everyone. The main one is the first. */
const rangesTold = 16

const bindings = new WeakMap<EditorView, Binding>()

export const bindingOf = (view: EditorView): Binding | undefined => bindings.get(view)

/** Of several views of one document, the one that was in use last. */
const inUse = new WeakMap<TextDocument, Binding>()

export class Binding implements PluginValue {
  private readonly view: EditorView
  private readonly doc: TextDocument
  private readonly options: CollaborationOptions
  private readonly stops: readonly (() => void)[]

  /** Null: both have the same text. */
  private behind: TextOp | null = null
  /** What the document told is not what happened to it; or it has told nothing yet. */
  private adrift = true
  /** The document's text when it was last heard of. */
  private seen: Text
  /** To be selected with the next thing shown, after an undo of mine. */
  private selection: Range | null = null
  private untold = true
  /** The view had the focus once; before that its caret is nobody's. */
  private hasBeenUsed = false
  private scheduled = false
  /** Ends the wait for the next frame; null: nothing waits for it. */
  private stopGathering: (() => void) | null = null
  private gathered = 0
  private destroyed = false

  constructor(view: EditorView, doc: TextDocument, options: CollaborationOptions) {
    this.view = view
    this.doc = doc
    this.options = options
    this.seen = doc.snapshot
    bindings.set(view, this)
    if (!inUse.has(doc)) inUse.set(doc, this)
    this.stops = [
      doc.on('change', change => this.hear(change)),
      doc.on('status', () => this.gather()),
      doc.presence.on('change', () => this.gather()),
    ]
    this.schedule()
  }

  destroy(): void {
    this.destroyed = true
    this.stopGathering?.()
    for (const stop of this.stops) stop()
    if (bindings.get(this.view) === this) bindings.delete(this.view)
    if (inUse.get(this.doc) !== this) return
    inUse.delete(this.doc)
    this.doc.presence.set({ ...this.options.presence?.(), cursor: null }) // the caret goes, the person may stay
  }

  // ---- from the view to the document

  update({ transactions, focusChanged, selectionSet, docChanged, view }: ViewUpdate): void {
    for (const transaction of transactions) {
      if (transaction.annotation(fromDocument)) continue
      if (transaction.docChanged) this.type(transaction)
      else if (transaction.selection !== undefined) this.doc.boundary()
    }
    const told = transactions.some(({ effects }) => effects.some(effect => effect.is(presenceChanged)))
    if (!focusChanged && !selectionSet && !docChanged && !told) return
    if (view.hasFocus) inUse.set(this.doc, this)
    this.untold = true
    this.schedule()
  }

  /**
   * What was typed was made on the view's text, which the document may have left behind:
   *
   *     //   view ──behind──▶ document
   *     //    │ op               │ mine   is the document's next edit
   *     //    ▼                  ▼
   *     //      ──  rest  ──▶             is what the view then still lacks
   */
  private type(transaction: Transaction): void {
    const { doc } = this
    if (this.adrift || doc.snapshot !== this.seen) {
      this.adrift = true
      this.behind = replacing(transaction.startState.doc.toString(), doc.text)
    }
    const op = opOfChanges(transaction.changes)
    const { behind } = this
    const [mine, rest] = behind === null ? [op, null] : textType.transformPair(op, behind, 'left')
    const carry = ({ anchor, head }: Range, over: TextOp | null): Range => {
      const range = { anchor, head }
      return over === null ? range : mapSelection(range, over, 'left')
    }
    const userEvent = transaction.annotation(Transaction.userEvent)
    const recorded = userEvent === undefined || joining.test(userEvent) ? 'join' : 'new'
    this.behind = rest
    this.enact(() =>
      doc.apply(this.sound(mine), {
        undo: transaction.annotation(undoable) ? recorded : 'never',
        selectionBefore: carry(transaction.startState.selection.main, behind),
        selectionAfter: carry(transaction.newSelection.main, rest),
        source: this,
      }),
    )
    this.seen = doc.snapshot
    if (rest !== null) this.schedule()
  }

  /** Half a surrogate pair is no text. The document gets what is nearest to it, and the view then that. */
  private sound(op: TextOp): TextOp {
    const { snapshot } = this.doc
    const fits = textType.fault(op, snapshot) === null
    if (!fits || op.inserted.includes(replacementCharacter)) this.loseTrack()
    return fits ? op : snapped(op, snapshot)
  }

  /** What the document does not take must not stay in the view, where it would look as if it were written. */
  private enact(edit: () => void): void {
    try {
      edit()
    } catch (error) {
      this.loseTrack()
      // A refusal, because the document has become read-only or closed, is told by its status. Anything else is a mistake.
      if (!(error instanceof InkwellError)) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }

  takeBack(which: 'undo' | 'redo'): void {
    const { doc, view } = this
    if (view.state.readOnly) return
    this.enact(() => doc[which](this))
    this.flush()
  }

  // ---- from the document to the view

  private hear({ op, origin, selection, source }: Change<TextOp>): void {
    if (origin === 'remote' && ++this.gathered < mostGathered) this.gather()
    else this.schedule()
    if ((source === this && origin === 'local') || this.adrift) return
    const { behind, doc } = this
    if (behind !== null && behind.targetLength !== op.baseLength) return this.loseTrack()
    this.behind = behind === null ? op : textType.compose(behind, op)
    this.seen = doc.snapshot
    if (this.seen.length !== op.targetLength) return this.loseTrack() // somebody before me has edited in reply, and that comes next
    if (source === this) this.selection = selection
  }

  private loseTrack(): void {
    this.adrift = true
    this.schedule()
  }

  /**
   * What others do in the time of a frame is one transaction, made when the frame is: a thousand edits cost the page no more than one,
   * and are seen no later. What is done here does not wait for it, and takes along what does.
   */
  private gather(): void {
    if (this.scheduled || this.stopGathering !== null) return
    const { view } = this
    const window = view.dom.ownerDocument.defaultView ?? globalThis
    const frame = window.requestAnimationFrame(() => {
      this.flush()
      // The layers over the text would be measured with the next frame, and for one frame stand where the text was.
      if (!this.destroyed) view.elementAtHeight(0)
    })
    const timer = setTimeout(() => this.flush(), showWithin)
    this.stopGathering = () => {
      window.cancelAnimationFrame(frame)
      clearTimeout(timer)
    }
  }

  /** Not at once: a view that is being updated takes no transaction, and what comes together is shown together. */
  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    queueMicrotask(() => this.flush())
  }

  private flush(): void {
    this.scheduled = false
    this.stopGathering?.()
    this.stopGathering = null
    this.gathered = 0
    if (this.destroyed) return
    const news = this.news()
    if (news !== null) {
      try {
        this.view.dispatch(news)
      } catch (error) {
        this.adrift = true // some other extension threw; the next thing that happens finds the view as it is
        throw error
      }
    }
    if (this.untold) this.tellPresence()
  }

  /** Everything that the view does not show yet. */
  private news(): TransactionSpec | null {
    const { doc, view, options, selection } = this
    const { state } = view
    let behind = this.behind
    if (this.adrift) {
      behind = replacing(state.doc.toString(), doc.text)
      this.adrift = false
      this.seen = doc.snapshot
    }
    this.behind = null
    this.selection = null
    const changes =
      behind === null || textType.isNoop(behind)
        ? ChangeSet.empty(state.doc.length)
        : changesOfOp(behind, text => state.toText(text))

    const effects: StateEffect<unknown>[] = []
    const writable = isWritable(doc, state.field(writableField))
    if (writable !== state.field(writableField)) effects.push(setWritable.of(writable))
    const before = carried(state.field(caretField), changes)
    const carets = caretsOf(doc.presence.peers, before, changes.newLength, options.nameOf ?? nameOf)
    if (!sameCarets(carets, before)) effects.push(showCarets.of(carets))

    if (changes.empty && effects.length === 0 && selection === null) return null
    return {
      changes,
      effects,
      annotations: [fromDocument.of(true), Transaction.remote.of(true), Transaction.addToHistory.of(false)],
      filter: false, // what is in the document is in the document
      ...(selection === null ? {} : { selection: within(selection, changes.newLength), scrollIntoView: true }),
    }
  }

  // ---- where I am

  /** A view that lost the focus keeps its caret for the others: whoever looks into another window is still there. */
  private tellPresence(): void {
    this.untold = false
    const { doc, view, options } = this
    if (inUse.get(doc) !== this) return
    this.hasBeenUsed ||= view.hasFocus
    const { main, ranges } = view.state.selection
    const all = [main, ...ranges.filter(range => range !== main)]
      .slice(0, rangesTold)
      .map(({ anchor, head }) => ({ anchor, head }))
    const cursor = !this.hasBeenUsed ? null : all.length === 1 ? all[0]! : { ranges: all }
    doc.presence.set({ ...options.presence?.(), cursor })
  }
}

const within = ({ anchor, head }: Range, length: number): EditorSelection =>
  EditorSelection.single(Math.min(anchor, length), Math.min(head, length))
