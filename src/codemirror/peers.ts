// The others' carets, selections and names, drawn over and under the text.
// Invariant: they are no part of the text's DOM, so they disturb neither composition nor screen readers nor line breaks.

import { type ChangeDesc, EditorSelection, type Extension, StateEffect, StateField } from '@codemirror/state'
import { EditorView, type LayerMarker, layer, RectangleMarker, type ViewUpdate } from '@codemirror/view'
import type { Peer, Range } from '../client/index.ts'

/** Colours on which white letters are readable (contrast at least 4.5), and which are told apart. */
export const palette = ['#b4233a', '#9a4a12', '#7a5b00', '#3f6b12', '#0f6f68', '#1d5fc4', '#6d3fd0', '#a0269c'] as const

/** The same hues for a dark page, on which they can be read, and black letters on them. */
export const nightPalette = ['#f28b98', '#eb9a5f', '#d3ae3a', '#93c45a', '#4fc4bb', '#7fb0f5', '#b79cf5', '#e58ae0'] as const

/** The colour of a person, the same everywhere: a place in the palettes. */
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

/** One peer as it is drawn. */
export interface Caret {
  readonly peer: string
  readonly name: string
  /** A place in the palettes. */
  readonly color: number
  /** The main one first. */
  readonly ranges: readonly Range[]
  /** Counts the peer's own movements, each of which shows the name for a while. */
  readonly stir: number
}

export const showCarets = StateEffect.define<readonly Caret[]>()

export const caretField = StateField.define<readonly Caret[]>({
  create: () => [],
  update(carets, { changes, effects }) {
    for (const effect of effects) if (effect.is(showCarets)) return effect.value // made for the text after this transaction
    return carried(carets, changes)
  },
})

/** What I type at another's place comes to stand behind it, as everyone else will see it. */
export const carried = (carets: readonly Caret[], changes: ChangeDesc): readonly Caret[] => {
  if (changes.empty || carets.length === 0) return carets
  return carets.map(caret => ({ ...caret, ranges: caret.ranges.map(range => moved(range, changes)) }))
}

const moved = ({ anchor, head }: Range, changes: ChangeDesc): Range => {
  if (anchor === head) {
    const at = changes.mapPos(anchor, -1)
    return { anchor: at, head: at }
  }
  const from = changes.mapPos(Math.min(anchor, head), 1)
  const to = Math.max(from, changes.mapPos(Math.max(anchor, head), -1))
  return anchor < head ? { anchor: from, head: to } : { anchor: to, head: from }
}

/** The peers that have a place in a text of `length`; `before` is how they were drawn, carried over what has changed since. */
export const caretsOf = (
  peers: readonly Peer[],
  before: readonly Caret[],
  length: number,
  name: (peer: Peer) => string,
): readonly Caret[] => {
  const known = new Map(before.map(caret => [caret.peer, caret]))
  return peers.flatMap(peer => {
    const ranges = rangesIn(peer.state.cursor).map(({ anchor, head }) => ({
      anchor: Math.min(anchor, length),
      head: Math.min(head, length),
    }))
    if (ranges.length === 0) return []
    const last = known.get(peer.peer)
    const stir = last === undefined ? 0 : last.stir + (sameRanges(last.ranges, ranges) ? 0 : 1)
    return [{ peer: peer.peer, name: name(peer), color: colorOf(peer.user.id), ranges, stir }]
  })
}

/** What a peer says under `cursor` is whatever its application put there. */
const rangesIn = (cursor: unknown): readonly Range[] => {
  if (typeof cursor !== 'object' || cursor === null) return []
  const ranges: readonly unknown[] = 'ranges' in cursor && Array.isArray(cursor.ranges) ? cursor.ranges : [cursor]
  return ranges.filter(isRange)
}

const isRange = (value: unknown): value is Range =>
  typeof value === 'object' &&
  value !== null &&
  'anchor' in value &&
  'head' in value &&
  isOffset(value.anchor) &&
  isOffset(value.head)

const isOffset = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0

const sameRanges = (a: readonly Range[], b: readonly Range[]): boolean =>
  a.length === b.length && a.every(({ anchor, head }, i) => anchor === b[i]!.anchor && head === b[i]!.head)

export const sameCarets = (a: readonly Caret[], b: readonly Caret[]): boolean =>
  a.length === b.length &&
  a.every((caret, i) => {
    const other = b[i]!
    return caret.peer === other.peer && caret.name === other.name && caret.stir === other.stir && caret.color === other.color
  })

// ---- drawing

const inked = (element: HTMLElement, color: number): void => {
  element.style.setProperty('--inkwell-ink-light', palette[color]!)
  element.style.setProperty('--inkwell-ink-dark', nightPalette[color]!)
}

class SelectionMarker implements LayerMarker {
  private readonly box: RectangleMarker
  private readonly color: number

  constructor(box: RectangleMarker, color: number) {
    this.box = box
    this.color = color
  }

  eq(other: LayerMarker): boolean {
    return other instanceof SelectionMarker && this.box.eq(other.box) && this.color === other.color
  }

  draw(): HTMLElement {
    const element = this.box.draw()
    inked(element, this.color)
    return element
  }

  update(element: HTMLElement, last: LayerMarker): boolean {
    if (!(last instanceof SelectionMarker) || !this.box.update(element, last.box)) return false
    inked(element, this.color)
    return true
  }
}

/** Pixels above a caret that its label needs, and to the right; where there are fewer it hangs on another side. */
const labelHeight = 22
const labelWidth = 160
const letterWidth = 8

/** Where so many are at one place a name may lie over another; they come and go. */
const labelsStacked = 3

interface Place {
  readonly left: number
  readonly top: number
  readonly height: number
  readonly below: boolean
  readonly leftward: boolean
  /** How many other labels are between this one and its caret. */
  readonly level: number
}

/** The places, each label moved away from its caret until it covers none before it. */
const stacked = (carets: readonly CaretMarker[]): readonly CaretMarker[] => {
  const out: CaretMarker[] = []
  for (const caret of carets) {
    let next = caret
    while (next.place.level < labelsStacked && out.some(other => other.covers(next))) next = next.raised()
    out.push(next)
  }
  return out
}

class CaretMarker implements LayerMarker {
  readonly place: Place
  private readonly caret: Caret
  private readonly labelled: boolean

  constructor(caret: Caret, place: Place, labelled: boolean) {
    this.caret = caret
    this.place = place
    this.labelled = labelled
  }

  eq(other: LayerMarker): boolean {
    if (!(other instanceof CaretMarker)) return false
    const [a, b] = [this.place, other.place]
    return (
      sameCarets([this.caret], [other.caret]) &&
      this.labelled === other.labelled &&
      a.left === b.left &&
      a.top === b.top &&
      a.height === b.height &&
      a.below === b.below &&
      a.leftward === b.leftward &&
      a.level === b.level
    )
  }

  /** Whether the two labels, as wide as they can be, share a spot. */
  covers(other: CaretMarker): boolean {
    if (!this.labelled || !other.labelled) return false
    const [[left, right], [otherLeft, otherRight]] = [this.reach, other.reach]
    const [y, otherY] = [this.labelTop, other.labelTop]
    return left < otherRight && otherLeft < right && y < otherY + labelHeight && otherY < y + labelHeight
  }

  raised(): CaretMarker {
    const level = this.place.level + 1
    const { top, below } = this.place
    return new CaretMarker(this.caret, { ...this.place, level, below: below || top < labelHeight * (level + 1) }, this.labelled)
  }

  private get reach(): readonly [left: number, right: number] {
    const { left, leftward } = this.place
    const width = Math.min(labelWidth, this.caret.name.length * letterWidth + 12)
    return leftward ? [left - width, left] : [left, left + width]
  }

  private get labelTop(): number {
    const { top, height, below, level } = this.place
    return below ? top + height + level * labelHeight : top - (level + 1) * labelHeight
  }

  draw(): HTMLElement {
    const element = document.createElement('div')
    element.className = 'cm-inkwell-caret'
    if (this.labelled) element.appendChild(document.createElement('div')).className = 'cm-inkwell-name'
    this.write(element)
    return element
  }

  update(element: HTMLElement, last: LayerMarker): boolean {
    if (!(last instanceof CaretMarker) || last.caret.peer !== this.caret.peer || last.labelled !== this.labelled) return false
    this.write(element)
    return true
  }

  private write(element: HTMLElement): void {
    const { caret, place } = this
    inked(element, caret.color)
    element.style.left = `${place.left}px`
    element.style.top = `${place.top}px`
    element.style.height = `${place.height}px`
    element.dataset.peer = caret.peer
    element.classList.toggle('cm-inkwell-below', place.below)
    element.classList.toggle('cm-inkwell-leftward', place.leftward)
    // An animation of another name begins anew: the label shows again at each stir, without a timer.
    element.classList.toggle('cm-inkwell-odd', caret.stir % 2 === 1)
    const label = element.firstElementChild
    if (!(label instanceof HTMLElement)) return
    if (label.textContent !== caret.name) label.textContent = caret.name
    label.style.transform = place.level === 0 ? '' : `translateY(${(place.below ? 1 : -1) * place.level * labelHeight}px)`
  }
}

const isRedrawn = ({ docChanged, startState, state, geometryChanged }: ViewUpdate): boolean =>
  docChanged || geometryChanged || startState.field(caretField) !== state.field(caretField)

const selectionLayer = layer({
  above: false,
  class: 'cm-inkwell-selections',
  update: isRedrawn,
  markers: view =>
    view.state
      .field(caretField)
      .flatMap(({ ranges, color }) =>
        ranges
          .filter(({ anchor, head }) => anchor !== head)
          .flatMap(({ anchor, head }) =>
            RectangleMarker.forRange(view, 'cm-inkwell-selection', EditorSelection.range(anchor, head)).map(
              box => new SelectionMarker(box, color),
            ),
          ),
      ),
})

const caretLayer = layer({
  above: true,
  class: 'cm-inkwell-carets',
  update: isRedrawn,
  markers: view =>
    stacked(
      view.state.field(caretField).flatMap(caret =>
        caret.ranges.flatMap(({ head }, i) =>
          RectangleMarker.forRange(view, '', EditorSelection.cursor(head)).map(({ left, top, height }) => {
            const room = view.scrollDOM.clientWidth
            const leftward = room - left < labelWidth && left > room / 2
            return new CaretMarker(caret, { left, top, height, below: top < labelHeight, leftward, level: 0 }, i === 0)
          }),
        ),
      ),
    ),
})

const shown = { '0%, 75%': { opacity: 1 }, '100%': { opacity: 0 } }

/**
 * All of it can be set from outside by these variables; the two inks are each peer's own.
 * `--inkwell-caret-width`, `--inkwell-selection-opacity`, `--inkwell-name-font`, `--inkwell-name-time`.
 */
const theme = EditorView.baseTheme({
  '.cm-inkwell-selections, .cm-inkwell-carets': { pointerEvents: 'none' },
  '.cm-inkwell-selection': { opacity: 'var(--inkwell-selection-opacity, 0.24)' },
  '&light .cm-inkwell-selection': { background: 'var(--inkwell-ink-light)' },
  '&dark .cm-inkwell-selection': { background: 'var(--inkwell-ink-dark)' },
  '.cm-inkwell-caret': {
    position: 'absolute',
    width: 'var(--inkwell-caret-width, 2px)',
    marginLeft: 'calc(var(--inkwell-caret-width, 2px) / -2)',
    borderRadius: '1px',
  },
  '&light .cm-inkwell-caret': { background: 'var(--inkwell-ink-light)', color: '#fff' },
  '&dark .cm-inkwell-caret': { background: 'var(--inkwell-ink-dark)', color: '#000' },
  // What is left of the label when it has faded: whose caret blinks is mine, the others' have a head.
  '.cm-inkwell-caret::before': {
    content: '""',
    position: 'absolute',
    left: '50%',
    top: '-3px',
    width: '6px',
    height: '6px',
    marginLeft: '-3px',
    borderRadius: '50%',
    background: 'inherit',
  },
  '.cm-inkwell-name': {
    position: 'absolute',
    bottom: '100%',
    left: '0',
    boxSizing: 'border-box',
    maxWidth: `${labelWidth}px`,
    padding: '1px 6px 2px',
    borderRadius: '4px 4px 4px 0',
    background: 'inherit',
    font: 'var(--inkwell-name-font, 600 12px/16px system-ui, sans-serif)',
    whiteSpace: 'pre',
    overflow: 'hidden',
    textOverflow: 'ellipsis',
    animation: 'cm-inkwell-show-even var(--inkwell-name-time, 4s) forwards',
  },
  '.cm-inkwell-odd .cm-inkwell-name': { animationName: 'cm-inkwell-show-odd' },
  '.cm-inkwell-below .cm-inkwell-name': { bottom: 'auto', top: '100%', borderRadius: '0 4px 4px 4px' },
  '.cm-inkwell-leftward .cm-inkwell-name': { left: 'auto', right: '0', borderRadius: '4px 4px 0 4px' },
  '.cm-inkwell-below.cm-inkwell-leftward .cm-inkwell-name': { borderRadius: '4px 0 4px 4px' },
  '@keyframes cm-inkwell-show-even': shown,
  '@keyframes cm-inkwell-show-odd': shown,
  '@media (prefers-reduced-motion: reduce)': { '.cm-inkwell-name': { animationTimingFunction: 'step-end' } },
  '@media print': { '.cm-inkwell-carets, .cm-inkwell-selections': { display: 'none' } },
})

export const drawnPeers: Extension = [caretField, selectionLayer, caretLayer, theme]
