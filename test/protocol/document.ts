// The parts of docs/PROTOCOL.md that are made from the code: examples, frames and the error table.
// Invariant: refresh(document) is the document itself exactly when the two say the same.

import { errorCodes, refusal } from '../../src/protocol/errors.ts'
import type { Golden, GoldenMessage } from './golden.ts'

const width = 118

/** JSON for people: on one line where it fits, else one property a line. */
const print = (value: unknown, indent = ''): string => {
  const line = spaced(value)
  if (indent.length + line.length <= width || typeof value !== 'object' || value === null) return line
  const deeper = `${indent}  `
  const parts = Array.isArray(value)
    ? value.map(item => deeper + print(item, deeper))
    : Object.entries(value).map(([key, item]) => `${deeper}${JSON.stringify(key)}: ${print(item, deeper)}`)
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  return `${open}\n${parts.join(',\n')}\n${indent}${close}`
}

const spaced = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const parts = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${spaced(item)}`)
  return parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`
}

const printHex = (hex: string): string =>
  hex
    .match(/.{1,80}/g)!
    .map(line => line.match(/../g)!.join(' '))
    .join('\n')

/** The section of each kind of message: from its heading to the next. */
export const sectionOf = (document: string, kind: string): string | null =>
  document.match(new RegExp(`^### \`${kind}\`\n[\\s\\S]*?(?=^#|(?![\\s\\S]))`, 'm'))?.[0] ?? null

export const errorRows = (): string =>
  errorCodes.map(code => `| \`${code}\` | ${refusal(code).advice} | ${refusal(code).message} |\n`).join('')

/** The document with every made part made anew. */
export const refresh = (document: string, golden: Golden): string => {
  let text = document
  for (const kind of new Set(golden.messages.map(message => message.kind))) {
    const section = sectionOf(text, kind)
    if (section === null) throw new Error(`docs/PROTOCOL.md has no section on ${kind}`)
    text = text.replace(section, () =>
      refreshSection(
        section,
        golden.messages.filter(message => message.kind === kind),
      ),
    )
  }
  const table = '| Code | Advice | Means |\n|---|---|---|\n'
  const at = text.indexOf(table) + table.length
  return text.slice(0, at) + text.slice(at).replace(/^(\|.*\n)*/, errorRows)
}

const refreshSection = (section: string, examples: readonly GoldenMessage[]): string => {
  let at = 0
  return section
    .replace(/^```json\n[\s\S]*?^```$/gm, () => `\`\`\`json\n${print(examples[at++]?.json)}\n\`\`\``)
    .replace(/^```hex\n[\s\S]*?^```$/m, () => `\`\`\`hex\n${printHex(examples[0]!.hex)}\n\`\`\``)
}
