// The demo page: one document by its URL, an editor, who is here, and whether all is saved.
// Invariant: what the page says of safety is what the document says, in words that a writer understands.

import { markdown } from '@codemirror/lang-markdown'
import { placeholder } from '@codemirror/view'
import { basicSetup, EditorView } from 'codemirror'
import { browserStorage, connect, type DocumentStatus, type InkwellError, type TextDocument } from '../src/client/index.ts'
import { collaboration, presenceChanged } from '../src/codemirror/index.ts'
import { keep, recall } from './kept.ts'
import { editorLook, lookBy } from './look.ts'
import { copyBy, notice, showDrafts } from './notices.ts'
import { showPeople } from './people.ts'
import { freshName } from './words.ts'

const find = <E extends HTMLElement>(id: string): E => document.getElementById(id) as E

/** `keeps`: what is typed outlives this page. */
const words = (status: DocumentStatus, keeps: boolean): string => {
  switch (status) {
    case 'saved':
      return 'All changes saved'
    case 'saving':
      return keeps ? 'Saving… – kept on this device' : 'Saving…'
    case 'offline':
      return keeps
        ? 'Offline – everything you type is kept on this device'
        : 'Offline – keep this page open, changes are sent when you are back'
    case 'full':
      return 'Very many write here – read for now, there will be room'
    case 'read-only':
      return 'Read-only'
    case 'closed':
      return 'Closed – reload the page to go on'
  }
}

const say = (status: DocumentStatus, sentence: string) => {
  find('status').dataset.status = status
  find('status-text').textContent = sentence
  // Whoever hears the page is told of each change of weather, not of every key that is saved.
  const spoken = find('spoken')
  if (status !== 'saving' && spoken.textContent !== sentence) spoken.textContent = sentence
}

lookBy(find<HTMLButtonElement>('theme'))

// ---- which document

const here = new URL(location.href)
const id = here.searchParams.get('doc') || freshName(Math.random)
if (here.searchParams.get('doc') !== id) {
  here.searchParams.set('doc', id)
  history.replaceState(null, '', here)
}
find('title').textContent = id
document.title = `${id} – Inkwell`

const copy = find<HTMLButtonElement>('copy')
copy.addEventListener('click', () => void copyBy(copy, location.href))

// ---- the document

const client = connect(location.origin, { storage: browserStorage() })
let keeps = true
const cannotKeep = (error: InkwellError) => {
  if (error.code !== 'storage-failed' || !keeps) return
  keeps = false
  notice('What you type cannot be kept on this device. It is safe once all changes are saved.', '', {})
}
client.on('error', cannotKeep)
client.on('error', (error: InkwellError) => {
  if (client.status !== 'closed') return // what is tried again by itself shows in the status
  notice(error.message, '', {
    Reload: () => {
      location.reload()
      return false
    },
  })
})

const line = find<HTMLInputElement>('line')
line.addEventListener('change', () => (line.checked ? client.resume() : client.pause()))

const name = find<HTMLInputElement>('name')
name.value = recall('name') ?? ''
const ownName = () => name.value.trim()

const begin = (doc: TextDocument) => {
  const people = () => showPeople(find('people'), client, doc, ownName())
  let unsaved = false
  const status = (now: DocumentStatus) => {
    if (now === 'saved') unsaved = false
    say(now, words(now, keeps))
    people()
  }
  doc.on('error', error => {
    cannotKeep(error)
    status(doc.status)
  })
  doc.on('kept', kept => {
    if (kept) keeps = true
    find('status').dataset.kept = String(kept)
    status(doc.status)
  })
  doc.on('change', ({ origin }) => {
    if (origin === 'local' || origin === 'undo' || origin === 'redo') unsaved = true
  })
  doc.on('status', status)
  doc.on('drafts', showDrafts)
  showDrafts(doc.drafts)
  doc.presence.on('change', people)
  addEventListener('beforeunload', event => {
    if (unsaved && !doc.kept) event.preventDefault() // the browser asks whether to leave: it lives in this page only
  })

  const view = new EditorView({
    parent: find('editor'),
    extensions: [
      basicSetup,
      markdown(),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ 'aria-label': `Text of ${id}` }),
      placeholder('Begin to write. Whoever has the link writes with you.'),
      editorLook(),
      collaboration(doc, { presence: () => (ownName() === '' ? {} : { name: ownName() }) }),
    ],
  })
  name.placeholder = client.user?.name ?? ''
  name.addEventListener('input', () => {
    keep('name', name.value)
    view.dispatch({ effects: presenceChanged.of(null) })
    people()
  })
  status(doc.status)
  find('editor').removeAttribute('aria-busy')
  view.focus()
}

client.open(id).then(begin, (error: InkwellError) => say('closed', `This document cannot be opened: ${error.message}`))
