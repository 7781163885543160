// The binding of a text document to a CodeMirror 6 editor.
// Invariant: the editor's text with `behind` applied is the document's text; typing goes into both at once and waits for nobody.

import { Annotation, EditorState, type Extension, Prec, StateEffect, Transaction, type TransactionSpec } from '@codemirror/state'
import { type DecorationSet, EditorView, keymap, type PluginValue, ViewPlugin, type ViewUpdate } from '@codemirror/view'
import type { Change, PresenceState, TextDocument } from '../client/index.ts'
import type { TextOp } from '../ot/op.ts'
import { textType } from '../ot/text.ts'
import { changesOfOp, opOfChanges } from './convert.ts'
import { PeerLayer, peerTheme } from './peers.ts'

export { colorOf, nameOf, palette } from './peers.ts'

export interface CollaborationOptions {
  /** What to tell the others of oneself besides the selection, such as `{ name: 'Ada' }`. Asked each time; see `presenceChanged`. */
  readonly presence?: () => PresenceState
}

/** Dispatch it when what the option `presence` answers has changed. */
export const presenceChanged = StateEffect.define<null>()

/** On what the document has told the editor: not to be told back. `author`: whose edit it is. */
const fromDocument = Annotation.define<{ readonly author: string | null }>()

/** The peers are elsewhere. */
const peersChanged = StateEffect.define<null>()

/**
 * Binds an editor to a document. The editor takes the document's text, whatever it held before. Undo and redo (their keys and the
 * browser's menu) take back one's own edits only; CodeMirror's own `history()` may be there, as in `basicSetup`, and gets nothing to do.
 * Line breaks are `\n`; a `\r` that is in the text is kept as a character.
 */
export const collaboration = (doc: TextDocument, options: CollaborationOptions = {}): Extension => {
  const plugin = ViewPlugin.define(view => new Binding(view, doc, options), { decorations: binding => binding.decorations })
  const undo = (view: EditorView) => view.plugin(plugin)?.takeBack('undo') ?? false
  const redo = (view: EditorView) => view.plugin(plugin)?.takeBack('redo') ?? false
  return [
    plugin,
    peerTheme,
    EditorState.lineSeparator.of('\n'),
    EditorView.clipboardInputFilter.of(text => text.replace(/\r\n?/g, '\n')),
    // What the document would not take is not done in the editor either.
    EditorState.changeFilter.of(transaction => transaction.annotation(Transaction.remote) !== undefined || writable(doc)),
    Prec.highest([
      keymap.of([
        { key: 'Mod-z', run: undo, preventDefault: true },
        { key: 'Mod-y', mac: 'Mod-Shift-z', run: redo, preventDefault: true },
        { linux: 'Ctrl-Shift-z', win: 'Ctrl-Shift-z', run: redo, preventDefault: true },
      ]),
      EditorView.domEventHandlers({
        beforeinput(event, view) {
          if (event.inputType === 'historyUndo') undo(view)
          else if (event.inputType === 'historyRedo') redo(view)
          else return false
          event.preventDefault()
          return true
        },
      }),
    ]),
  ]
}

const writable = (doc: TextDocument): boolean => doc.status !== 'read-only' && doc.status !== 'closed'

class Binding implements PluginValue {
  private readonly view: EditorView
  private readonly doc: TextDocument
  private readonly options: CollaborationOptions
  private readonly peers = new PeerLayer()
  private readonly stops: (() => void)[]
  /** What the document has and the editor has not, because it came while the editor was in the middle of an update. */
  private behind: TextOp | null = null
  private updating = false
  /** False until the editor has taken the document's text. */
  private attached = false
  private destroyed = false
  private touched = false

  constructor(view: EditorView, doc: TextDocument, options: CollaborationOptions) {
    this.view = view
    this.doc = doc
    this.options = options
    this.stops = [doc.on('change', change => this.changed(change)), doc.presence.on('change', () => this.peersMoved())]
    // An editor may not be changed while it is being made.
    queueMicrotask(() => this.attach())
  }

  get decorations(): DecorationSet {
    return this.peers.drawn
  }

  takeBack(which: 'undo' | 'redo'): boolean {
    if (writable(this.doc)) this.doc[which](this)
    return true
  }

  update(update: ViewUpdate): void {
    this.updating = true
    try {
      for (const transaction of update.transactions) {
        if (transaction.docChanged && transaction.annotation(fromDocument) === undefined) this.edited(transaction)
      }
      const effects = update.transactions.flatMap(transaction => transaction.effects)
      if (update.selectionSet || update.focusChanged || effects.some(effect => effect.is(presenceChanged)))
        this.publish(update.state)
      if (update.docChanged || effects.some(effect => effect.is(peersChanged))) {
        const author = update.transactions
          .map(transaction => transaction.annotation(fromDocument))
          .find(from => from !== undefined)
        this.peers.draw(this.doc.presence.peers, update.state.doc.length, update.changes, author?.author ?? null)
      }
    } finally {
      this.updating = false
    }
  }

  /** The writer has changed the editor's text. */
  private edited(transaction: Transaction): void {
    if (!this.attached) return
    let op = opOfChanges(transaction.changes)
    if (this.behind !== null) {
      const [mine, theirs] = textType.transformPair(op, this.behind, 'left')
      op = mine
      this.behind = theirs
    }
    const typing = transaction.isUserEvent('input.type') || transaction.isUserEvent('delete')
    const { startState, state } = transaction
    try {
      this.doc.apply(op, {
        undo: typing ? 'join' : 'new',
        selectionBefore: rangeOf(startState),
        selectionAfter: rangeOf(state),
        source: this,
      })
    } catch {
      // The document would not have it (it has just become read-only, or half a character was cut): it says why itself, and the
      // editor goes back to what the document holds.
      this.attached = false
      queueMicrotask(() => this.attach())
    }
  }

  /** The document has changed. */
  private changed({ op, origin, author, source, selection }: Change<TextOp>): void {
    if (!this.attached || (origin === 'local' && source === this)) return
    if (this.updating || this.behind !== null) {
      if (this.behind === null) queueMicrotask(() => this.catchUp())
      this.behind = this.behind === null ? op : textType.compose(this.behind, op)
      return
    }
    this.show(op, author, source === this ? selection : null)
  }

  private catchUp(): void {
    const op = this.behind
    this.behind = null
    if (op !== null && !this.destroyed) this.show(op, null, null)
  }

  private show(op: TextOp, author: string | null, selection: { readonly anchor: number; readonly head: number } | null): void {
    const { state } = this.view
    const spec: TransactionSpec = {
      changes: changesOfOp(op, text => state.toText(text)),
      annotations: [fromDocument.of({ author }), Transaction.remote.of(true), Transaction.addToHistory.of(false)],
    }
    this.view.dispatch(selection === null ? spec : { ...spec, selection, scrollIntoView: true })
  }

  /** Takes the document's text. */
  private attach(): void {
    if (this.destroyed || this.attached) return
    this.attached = true
    this.behind = null
    const { state } = this.view
    if (state.sliceDoc() !== this.doc.text) this.take(state)
    this.publish(this.view.state)
    this.peersMoved()
  }

  private take(state: EditorState): void {
    this.view.dispatch({
      changes: { from: 0, to: state.doc.length, insert: state.toText(this.doc.text) },
      annotations: [fromDocument.of({ author: null }), Transaction.remote.of(true), Transaction.addToHistory.of(false)],
    })
  }

  private peersMoved(): void {
    const tell = () => {
      if (!this.destroyed) this.view.dispatch({ effects: peersChanged.of(null) })
    }
    if (this.updating) queueMicrotask(tell)
    else tell()
  }

  /** Tells the others where the selection is; from the first time on that the writer was in the editor. */
  private publish(state: EditorState): void {
    if (!this.attached || this.behind !== null) return
    this.touched ||= this.view.hasFocus
    const own = this.options.presence?.() ?? {}
    this.doc.presence.set(this.touched ? { ...own, cursor: rangeOf(state) } : own)
  }

  destroy(): void {
    this.destroyed = true
    for (const stop of this.stops) stop()
  }
}

const rangeOf = (state: EditorState): { anchor: number; head: number } => {
  const { anchor, head } = state.selection.main
  return { anchor, head }
}
