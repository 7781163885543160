// Who is here: initials in the colour that the same person's caret has, and the name.

import type { Client, TextDocument } from '../src/client/index.ts'
import { colorOf, nameOf, palette } from '../src/codemirror/index.ts'

/** More than these are counted only. */
const shown = 6

interface Person {
  readonly name: string
  readonly color: string
}

export const showPeople = (list: HTMLElement, client: Client, doc: TextDocument, ownName: string): void => {
  const color = (id: string) => palette[colorOf(id)]!
  const people: Person[] = [
    { name: `${ownName || client.user?.name || 'You'} (you)`, color: color(client.user?.id ?? '') },
    ...doc.presence.peers.map(peer => ({ name: nameOf(peer), color: color(peer.user.id) })),
  ]
  const rest = Math.max(people.length, doc.presence.count) - shown // of a crowd only the active ones are peers
  list.replaceChildren(...people.slice(0, shown).map(itemOf), ...(rest > 0 ? [restOf(rest)] : []))
}

const itemOf = ({ name, color }: Person): HTMLElement => {
  const item = document.createElement('li')
  item.title = name
  const face = piece('face', initials(name))
  face.style.backgroundColor = color
  face.setAttribute('aria-hidden', 'true')
  item.append(face, piece('who', name))
  return item
}

const restOf = (count: number): HTMLElement => {
  const item = document.createElement('li')
  item.append(piece('rest', `+${count}`), piece('aside', 'more'))
  return item
}

const piece = (kind: string, text: string): HTMLElement => {
  const span = document.createElement('span')
  span.className = kind
  span.textContent = text
  return span
}

const initials = (name: string): string =>
  name
    .replace(/ \(you\)$/, '')
    .trim()
    .split(/\s+/)
    .slice(0, 2)
    .map(word => [...word][0] ?? '')
    .join('')
    .toUpperCase()
