// The look by day and by night: the system's wish until the writer says otherwise.
// Invariant: the page and the editor in it are never of two minds.

import { Compartment, type Extension } from '@codemirror/state'
import { EditorView } from 'codemirror'
import { keep, recall } from './kept.ts'

const night = matchMedia('(prefers-color-scheme: dark)')
const part = new Compartment()
const { dataset } = document.documentElement // the style sheet follows `data-theme`, and the system where there is none
let editor: EditorView | null = null

const isDark = (): boolean => (dataset.theme === undefined ? night.matches : dataset.theme === 'dark')
const ofEditor = (): Extension => EditorView.darkTheme.of(isDark())

/** The button names the look that it brings. */
export const lookBy = (button: HTMLButtonElement): void => {
  const show = () => {
    button.textContent = isDark() ? 'Light' : 'Dark'
    editor?.dispatch({ effects: part.reconfigure(ofEditor()) })
  }
  const wish = recall('theme')
  if (wish === 'dark' || wish === 'light') dataset.theme = wish
  button.addEventListener('click', () => {
    dataset.theme = isDark() ? 'light' : 'dark'
    keep('theme', dataset.theme)
    show()
  })
  night.addEventListener('change', show)
  show()
}

/** For the one editor of the page. */
export const editorLook = (): Extension => [
  part.of(ofEditor()),
  EditorView.updateListener.of(({ view }) => {
    editor = view
  }),
]
