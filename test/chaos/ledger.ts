// What has become of every character that was typed into one document.
// Invariant: a character is typed once, so that each can be found again; those below U+0100 are filling and are not looked for.

import { type TextOp, toEdits } from '../../src/ot/op.ts'
import type { Text } from '../../src/ot/rope.ts'
import type { Faults, Replay } from './log-book.ts'

const isCounted = (char: string): boolean => char.codePointAt(0)! >= 0x100

/** Gives out characters, each once: of the basic plane, and now and then a pair of surrogates. */
export class Alphabet {
  #next = 0x100
  #nextPair = 0x1_0000
  #given = 0

  fresh(count: number): string {
    let text = ''
    for (; count > 0; count--) {
      if (this.#next === 0xd800) this.#next = 0xe000
      text += String.fromCodePoint(++this.#given % 5 === 0 || this.#next > 0xfff0 ? this.#nextPair++ : this.#next++)
    }
    return text
  }
}

export class Ledger {
  readonly #doc: string
  readonly #typedBy = new Map<string, string>()
  readonly #deleted = new Set<string>()
  /** Brought back by an undo: two who have deleted the same character, and take that back, bring it back twice. */
  readonly #restored = new Map<string, number>()
  readonly #drafted = new Set<string>()
  /** Reported durable, and the edit in which it went out. */
  readonly #promised = new Map<string, string>()

  constructor(doc: string) {
    this.#doc = doc
  }

  get typed(): number {
    return this.#typedBy.size
  }

  get promised(): number {
    return this.#promised.size
  }

  get drafted(): number {
    return this.#drafted.size
  }

  /** Somebody has changed the text before him; answers what he has newly typed and what he has taken out. */
  change(who: string, before: Text, op: TextOp): { readonly typed: readonly string[]; readonly taken: readonly string[] } {
    const typed: string[] = []
    const taken: string[] = []
    for (const [from, to, text] of toEdits(op)) {
      for (const char of before.slice(from, to)) {
        if (!isCounted(char)) continue
        this.#deleted.add(char)
        taken.push(char)
      }
      for (const char of text) {
        if (!isCounted(char)) continue
        if (this.#typedBy.has(char)) this.#restored.set(char, (this.#restored.get(char) ?? 0) + 1)
        else {
          this.#typedBy.set(char, who)
          typed.push(char)
        }
      }
    }
    return { typed, taken }
  }

  draft(text: string): void {
    for (const char of text) this.#drafted.add(char)
  }

  /** These have been reported durable. @param chars with author and number of the edit in which they first went out */
  promise(chars: ReadonlyMap<string, string>): void {
    for (const [char, edit] of chars) this.#promised.set(char, edit)
  }

  judge({ text, inserted, edits }: Replay, faults: Faults): void {
    const times = new Map<string, number>()
    for (const char of text) if (isCounted(char)) times.set(char, (times.get(char) ?? 0) + 1)
    const name = (char: string): string => `U+${char.codePointAt(0)!.toString(16)} of ${this.#typedBy.get(char)}`
    for (const char of this.#typedBy.keys()) {
      const found = times.get(char) ?? 0
      if (found > 1 + (this.#restored.get(char) ?? 0)) faults.push(`${this.#doc}: ${name(char)} is in the text ${found} times`)
      if (found === 0 && !this.#deleted.has(char) && !this.#drafted.has(char)) faults.push(`${this.#doc}: ${name(char)} is lost`)
    }
    for (const char of times.keys())
      if (!this.#typedBy.has(char)) faults.push(`${this.#doc}: U+${char.codePointAt(0)!.toString(16)} was never typed`)
    for (const [char, edit] of this.#promised) {
      if (!edits.has(edit))
        faults.push(`${this.#doc}: ${name(char)} was reported durable, and its edit ${edit} is not in the log`)
      // An edit that is offered again to a log that has lost it leaves out what others have deleted of it meanwhile.
      else if (!inserted.has(char) && !this.#deleted.has(char))
        faults.push(`${this.#doc}: ${name(char)} was reported durable, and no entry has it`)
    }
  }
}
