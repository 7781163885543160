// The others in the editor: their selections, carets and names, drawn where they are in the text shown.
// Invariant: nothing drawn here is part of the text, of its layout, or of what a screen reader reads out.

import type { ChangeDesc, Extension, Range } from '@codemirror/state'
import { Decoration, type DecorationSet, EditorView, WidgetType } from '@codemirror/view'
import type { Peer } from '../client/index.ts'

/** Colours on which white letters are readable (contrast at least 4.5), and which are told apart on a light and on a dark ground. */
export const palette = ['#b4233a', '#9a4a12', '#7a5b00', '#3f6b12', '#0f6f68', '#1d5fc4', '#6d3fd0', '#a0269c'] as const

/** The colour of a person, the same everywhere: a place in the palette. */
export const colorOf = (id: string): number => {
  let sum = 0
  for (let i = 0; i < id.length; i++) sum = (Math.imul(sum, 31) + id.charCodeAt(i)) >>> 0
  return sum % palette.length
}

/** What is written on a caret: the name in the presence state, else the user's name or id. */
export const nameOf = (peer: Peer): string => {
  const { name } = peer.state
  return (typeof name === 'string' && name.trim() !== '' ? name : (peer.user.name ?? peer.user.id)).slice(0, 64)
}

interface Selected {
  readonly anchor: number
  readonly head: number
}

const selectionOf = (peer: Peer, length: number): Selected | null => {
  const { cursor } = peer.state
  if (cursor === null || typeof cursor !== 'object' || !('anchor' in cursor) || !('head' in cursor)) return null
  const { anchor, head } = cursor
  if (typeof anchor !== 'number' || typeof head !== 'number') return null
  const inside = (at: number) => Math.max(0, Math.min(length, Math.trunc(at)))
  return { anchor: inside(anchor), head: inside(head) }
}

class Caret extends WidgetType {
  private readonly name: string
  private readonly color: number
  /** Counts the peer's own moves: a new one shows the name again. */
  private readonly moves: number

  constructor(name: string, color: number, moves: number) {
    super()
    this.name = name
    this.color = color
    this.moves = moves
  }

  override eq(other: Caret): boolean {
    return other.name === this.name && other.color === this.color && other.moves === this.moves
  }

  override toDOM(): HTMLElement {
    const caret = document.createElement('span')
    caret.className = `cm-inkwell-caret cm-inkwell-color-${this.color}`
    caret.setAttribute('aria-hidden', 'true')
    const label = document.createElement('span')
    label.className = 'cm-inkwell-name'
    label.textContent = this.name
    caret.append('\u2060', label, '\u2060') // word joiners, so that the caret has a height and no line breaks at it
    return caret
  }

  override ignoreEvent(): boolean {
    return true
  }
}

/** Follows the peers and draws them. */
export class PeerLayer {
  drawn: DecorationSet = Decoration.none
  private places = new Map<string, { readonly head: number; readonly moves: number }>()

  /** @param changes what the text has changed since the last call; @param author whose edit that was */
  draw(peers: readonly Peer[], length: number, changes: ChangeDesc | null, author: string | null): void {
    const places = new Map<string, { readonly head: number; readonly moves: number }>()
    const ranges: Range<Decoration>[] = []
    for (const peer of peers) {
      const selected = selectionOf(peer, length)
      if (selected === null) continue
      const { anchor, head } = selected
      const before = this.places.get(peer.peer)
      const stayed = before !== undefined && peer.author !== author && (changes?.mapPos(before.head) ?? before.head) === head
      const moves = (before?.moves ?? 0) + (stayed ? 0 : 1)
      places.set(peer.peer, { head, moves })
      const color = colorOf(peer.user.id)
      if (anchor !== head) {
        const mark = Decoration.mark({ class: `cm-inkwell-selection cm-inkwell-color-${color}` })
        ranges.push(mark.range(Math.min(anchor, head), Math.max(anchor, head)))
      }
      ranges.push(Decoration.widget({ widget: new Caret(nameOf(peer), color, moves), side: 1 }).range(head))
    }
    this.places = places
    this.drawn = Decoration.set(ranges, true)
  }
}

const colors = Object.fromEntries(
  palette.flatMap((color, i) => [
    [`.cm-inkwell-caret.cm-inkwell-color-${i}`, { borderColor: color }],
    [`.cm-inkwell-color-${i} .cm-inkwell-name`, { backgroundColor: color }],
    [`.cm-inkwell-selection.cm-inkwell-color-${i}`, { backgroundColor: `${color}38` }],
  ]),
)

export const peerTheme: Extension = EditorView.baseTheme({
  '.cm-inkwell-caret': {
    position: 'relative',
    borderLeft: '2px solid',
    marginLeft: '-1px',
    marginRight: '-1px',
    pointerEvents: 'none',
  },
  '.cm-inkwell-name': {
    position: 'absolute',
    bottom: '100%',
    left: '-2px',
    padding: '1px 5px',
    borderRadius: '3px 3px 3px 0',
    color: '#fff',
    font: '600 11px/1.35 system-ui, sans-serif',
    whiteSpace: 'nowrap',
    userSelect: 'none',
    zIndex: '5',
    animation: 'cm-inkwell-fade 4s forwards',
  },
  // In the first line there is no room above.
  '.cm-line:first-child .cm-inkwell-name': { bottom: 'auto', top: '100%', borderRadius: '0 3px 3px 3px' },
  '@keyframes cm-inkwell-fade': { '0%': { opacity: '1' }, '75%': { opacity: '1' }, '100%': { opacity: '0' } },
  '@media (prefers-reduced-motion: reduce)': { '.cm-inkwell-name': { animation: 'none' } },
  '&dark .cm-inkwell-caret': { filter: 'brightness(1.5)' },
  ...colors,
})
