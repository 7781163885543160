// Quiet notices: what was refused, with the words that would otherwise be lost.
// Invariant: a notice with words in it stays, also over a reload, until the writer discards it or has put them back.

import type { Draft } from '../src/client/index.ts'

/** Answers whether it went well. Where the page is not served by https, browsers offer the older way only. */
export const copyText = async (text: string): Promise<boolean> => {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    const field = document.createElement('textarea')
    field.value = text
    field.className = 'aside'
    const before = document.activeElement
    document.body.append(field)
    field.select()
    const done = document.execCommand('copy')
    field.remove()
    if (before instanceof HTMLElement) before.focus()
    return done
  }
}

/** Shows on the button itself how it went. */
export const copyBy = async (button: HTMLButtonElement, text: string): Promise<void> => {
  const label = button.dataset.label ?? button.textContent ?? ''
  button.dataset.label = label
  button.textContent = (await copyText(text)) ? 'Copied' : 'Could not copy'
  setTimeout(() => (button.textContent = label), 2_000)
}

/** What a button does; `false`: the notice is to stay. */
type Act = (button: HTMLButtonElement) => boolean

export const notice = (sentence: string, quote: string, actions: Readonly<Record<string, Act>>): void => {
  put(sentence, quote, { ...actions, Dismiss: () => true })
}

const put = (sentence: string, quote: string, actions: Readonly<Record<string, Act>>): HTMLElement => {
  const box = document.createElement('section')
  box.className = 'notice'
  const text = document.createElement('p')
  text.textContent = sentence
  box.append(text)
  if (quote !== '') {
    const block = document.createElement('blockquote')
    block.textContent = quote
    block.tabIndex = 0 // it may scroll, also by keyboard
    box.append(block)
  }
  for (const [name, act] of Object.entries(actions)) {
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = name
    button.addEventListener('click', () => {
      if (act(button)) box.remove()
    })
    box.append(button)
  }
  document.getElementById('notices')?.append(box)
  return box
}

/** The notices of drafts on the page, by their ids. */
const shown = new Map<string, HTMLElement>()

/** Shows the writer's drafts: those that are new get a notice, those that are gone lose theirs. */
export const showDrafts = (drafts: readonly Draft<unknown, unknown>[]): void => {
  for (const [id, box] of shown) {
    if (drafts.some(draft => draft.id === id)) continue
    box.remove()
    shown.delete(id)
  }
  for (const draft of drafts) if (!shown.has(draft.id)) shown.set(draft.id, draftNotice(draft))
}

const draftNotice = ({ text, cause, error, restore, discard }: Draft<unknown, unknown>): HTMLElement => {
  const what =
    text === '' ? 'Something you deleted could not be deleted for everyone.' : 'Something you wrote is not in the document.'
  const why =
    cause === 'unknowable'
      ? 'It may have arrived all the same: look before you restore it.'
      : (error?.message ?? 'It could not be sent.')
  const copy: Act = button => {
    void copyBy(button, text)
    return false
  }
  const again: Act = button => {
    try {
      restore()
    } catch {
      button.textContent = 'Cannot be restored now'
    }
    return false // it goes when the draft has gone
  }
  const away: Act = () => {
    discard()
    return false
  }
  return put(`${what} ${why}`, text, { ...(text === '' ? {} : { Copy: copy }), Restore: again, Discard: away })
}
