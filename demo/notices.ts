// Quiet notices: what was refused, with the words that would otherwise be lost.
// Invariant: a notice with words in it stays until the writer sends it away or has put them back.

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
  for (const [name, act] of Object.entries<Act>({ ...actions, Dismiss: () => true })) {
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = name
    button.addEventListener('click', () => {
      if (act(button)) box.remove()
    })
    box.append(button)
  }
  document.getElementById('notices')?.append(box)
}

export const draftNotice = ({ text, cause, error, restore }: Draft<unknown, unknown>): void => {
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
      return true
    } catch {
      button.textContent = 'Cannot be restored now'
      return false
    }
  }
  notice(`${what} ${why}`, text, { ...(text === '' ? {} : { Copy: copy }), Restore: again })
}
