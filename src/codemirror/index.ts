// The CodeMirror 6 face: an extension that binds an editor to a document.
// Invariant: whatever the editor's state held before, its text is the document's, and stays so.

import { EditorState, type Extension, Prec } from '@codemirror/state'
import { type Command, EditorView, keymap, ViewPlugin } from '@codemirror/view'
import type { TextDocument } from '../client/index.ts'
import { Binding, bindingOf, type CollaborationOptions, isWritable, undoIsTheDocuments, writableField } from './binding.ts'
import { drawnPeers } from './peers.ts'

export { type CollaborationOptions, presenceChanged } from './binding.ts'
export { colorOf, nameOf, palette } from './peers.ts'

/**
 * What is a line break in an editor's text. With CodeMirror's own default each of \r\n, \r and \n is one, and it forgets which it was:
 * positions behind a \r\n would be wrong. With this one a \r is a character like any other.
 */
const lineBreak = '\n'

/**
 * Binds every view that has this extension to `doc`: edits, undo and redo, the others' carets, my own selection.
 *
 * The view's text becomes that of the document as soon as the code that made the view has ended; give the state `doc: doc.text` to
 * have it from the start. Close the document yourself once its views are destroyed.
 *
 * What others do is shown with the next frame, all of a frame in one transaction, while `doc` has it at once: for so long positions in
 * the two may differ. What is done here, in a view or by `doc`'s methods, is shown as soon as the running code has ended.
 *
 * Do not add CodeMirror's `history()`. Where it is there already, as in basicSetup, it stays empty: undo and redo, by their usual keys
 * and by the browser's menu, are the document's. A line break is "\n"; pasted text gets it, a "\r" of the document stays a character.
 */
export const collaboration = (doc: TextDocument, options: CollaborationOptions = {}): Extension => [
  ViewPlugin.define(view => new Binding(view, doc, options)),
  writableField.init(() => isWritable(doc, true)),
  drawnPeers,
  undoIsTheDocuments,
  Prec.highest([
    EditorState.lineSeparator.of(lineBreak),
    EditorView.clipboardInputFilter.of(text => text.replace(/\r\n?/g, lineBreak)),
    keymap.of([
      { key: 'Mod-z', run: undo, preventDefault: true },
      { key: 'Mod-Shift-z', run: redo, preventDefault: true },
      { key: 'Mod-y', run: redo, preventDefault: true },
    ]),
    EditorView.domEventHandlers({
      beforeinput({ inputType }, view) {
        return inputType === 'historyUndo' ? undo(view) : inputType === 'historyRedo' ? redo(view) : false
      },
    }),
  ]),
]

/** Takes back the last group of my own edits, for a button or another key. */
export const undo: Command = view => takeBack(view, 'undo')

export const redo: Command = view => takeBack(view, 'redo')

/** Handled also when there is nothing to take back: no other extension's undo should then have the key. */
const takeBack = (view: EditorView, which: 'undo' | 'redo'): boolean => {
  const binding = bindingOf(view)
  binding?.takeBack(which)
  return binding !== undefined
}
