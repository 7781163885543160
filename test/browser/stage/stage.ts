// A page for tests of the binding alone: what they need to make editors with, within reach of their scripts.
import { EditorState, Transaction } from '@codemirror/state'
import { ViewPlugin } from '@codemirror/view'
import { basicSetup, EditorView } from 'codemirror'
import { browserStorage, type Client, connect, type TextDocument } from '../../../src/client/index.ts'
import { type CollaborationOptions, collaboration } from '../../../src/codemirror/index.ts'
import { storageLaws } from '../../client/storage-laws.ts'

/** A view in a box of its own, as the README makes one. */
const editor = (doc: TextDocument, text = '', options: CollaborationOptions = {}, more: object[] = []): EditorView => {
  const parent = document.body.appendChild(document.createElement('section'))
  const extensions = [basicSetup, collaboration(doc, options), EditorView.lineWrapping, ...(more as never[])]
  return new EditorView({ parent, state: EditorState.create({ doc: text, extensions }) })
}

/** Everything that is open on the page, for scripts that come one after the other. */
const kept: { client: Client; doc: TextDocument; views: EditorView[] } = { views: [] } as never

const stage = {
  browserStorage,
  storageLaws,
  connect,
  editor,
  kept,
  EditorState,
  EditorView,
  Transaction,
  ViewPlugin,
  async open(id: string, token?: string) {
    kept.client = connect(location.origin, { random: () => 0, ...(token === undefined ? {} : { token: () => token }) })
    kept.doc = await kept.client.open(id)
    return kept.doc
  },
}

export type Stage = typeof stage

Object.assign(globalThis, { stage })
