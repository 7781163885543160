// The demo page: one document by its URL, an editor, who is here, and whether all is saved.
// Invariant: what the page says of safety is what the document says, in words that a writer understands.

import { markdown } from '@codemirror/lang-markdown'
import { basicSetup, EditorView } from 'codemirror'
import { connect, type DocumentStatus, type Draft, type InkwellError, type Peer, type TextDocument } from '../src/client/index.ts'
import { collaboration, colorOf, nameOf, palette, presenceChanged } from '../src/codemirror/index.ts'
import { freshName } from './words.ts'

const find = <E extends HTMLElement>(id: string): E => document.getElementById(id) as E

const words: Record<DocumentStatus, string> = {
  saved: 'All changes saved',
  saving: 'Saving…',
  offline: 'Offline – keep this page open, your changes are sent when you are back',
  'read-only': 'You may read, not write',
  closed: 'Closed',
}

// ---- the look

const theme = find<HTMLButtonElement>('theme')
const night = matchMedia('(prefers-color-scheme: dark)')
const showTheme = () => {
  const dark = (localStorage.getItem('theme') ?? (night.matches ? 'dark' : 'light')) === 'dark'
  document.documentElement.dataset.theme = dark ? 'dark' : 'light'
  theme.setAttribute('aria-pressed', String(dark))
}
theme.addEventListener('click', () => {
  localStorage.setItem('theme', document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark')
  showTheme()
})
night.addEventListener('change', showTheme)
showTheme()

// ---- which document

const here = new URL(location.href)
const id = here.searchParams.get('doc') ?? freshName(Math.random)
if (here.searchParams.get('doc') === null) {
  here.searchParams.set('doc', id)
  history.replaceState(null, '', here)
}
find('title').textContent = id
document.title = `${id} – Inkwell`

const copy = find<HTMLButtonElement>('copy')
copy.addEventListener('click', async () => {
  await navigator.clipboard.writeText(location.href)
  copy.textContent = 'Copied'
  setTimeout(() => (copy.textContent = 'Copy link'), 2_000)
})

// ---- notices

const notice = (sentence: string, quote: string, actions: Record<string, () => void>) => {
  const box = document.createElement('div')
  box.className = 'notice'
  const text = document.createElement('p')
  text.textContent = sentence
  box.append(text)
  if (quote !== '') {
    const block = document.createElement('blockquote')
    block.textContent = quote
    box.append(block)
  }
  for (const [name, act] of Object.entries({ ...actions, Dismiss: () => undefined })) {
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = name
    button.addEventListener('click', () => {
      act()
      if (name !== 'Copy') box.remove()
    })
    box.append(button)
  }
  find('notices').append(box)
}

const draft = ({ text, cause, error, restore }: Draft<unknown, unknown>) => {
  if (text === '') return
  const why = cause === 'unknowable' ? 'It may be in the document already.' : (error?.message ?? 'It was not sent.')
  notice(`Something you wrote could not be kept in the document. ${why}`, text, {
    Copy: () => void navigator.clipboard.writeText(text),
    Restore: restore,
  })
}

// ---- the document

const client = connect(location.origin)
client.on('error', (error: InkwellError) => {
  if (client.status === 'closed') notice(error.message, '', { Reload: () => location.reload() })
})

const line = find<HTMLInputElement>('line')
line.addEventListener('change', () => (line.checked ? client.resume() : client.pause()))

const name = find<HTMLInputElement>('name')
name.value = localStorage.getItem('name') ?? ''
const presence = () => (name.value.trim() === '' ? {} : { name: name.value.trim() })

const people = (doc: TextDocument) => {
  const me = { name: name.value.trim() || (client.user?.name ?? 'You'), id: client.user?.id ?? '', mine: true }
  const others = doc.presence.peers.map((peer: Peer) => ({ name: nameOf(peer), id: peer.user.id, mine: false }))
  find('people').replaceChildren(
    ...[me, ...others].map(person => {
      const item = document.createElement('li')
      const letters = person.name.split(/\s+/).map(word => [...word][0] ?? '')
      item.textContent = letters.slice(0, 2).join('').toUpperCase()
      item.title = person.mine ? `${person.name} (you)` : person.name
      item.setAttribute('aria-label', item.title)
      item.style.backgroundColor = palette[colorOf(person.id)]!
      return item
    }),
  )
}

const begin = (doc: TextDocument) => {
  const showStatus = (status: DocumentStatus) => {
    find('status').dataset.status = status
    find('status-text').textContent = words[status]
    people(doc)
  }
  doc.on('status', showStatus)
  doc.on('draft', draft)
  doc.presence.on('change', () => people(doc))

  const view = new EditorView({
    parent: find('editor'),
    extensions: [
      basicSetup,
      markdown(),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ 'aria-label': `Text of ${id}` }),
      EditorView.darkTheme.of(document.documentElement.dataset.theme === 'dark'),
      collaboration(doc, { presence }),
    ],
  })
  name.addEventListener('input', () => {
    localStorage.setItem('name', name.value)
    view.dispatch({ effects: presenceChanged.of(null) })
    people(doc)
  })
  showStatus(doc.status)
  find('editor').removeAttribute('aria-busy')
  view.focus()
}

client.open(id).then(begin, (error: InkwellError) => {
  find('status').dataset.status = 'closed'
  find('status-text').textContent = error.message
})
