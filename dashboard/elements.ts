// Pieces of the page: what comes from the server gets into it as text alone.

type Content = string | Node

export const element = <K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string>> = {},
  ...content: readonly Content[]
): HTMLElementTagNameMap[K] => {
  const made = document.createElement(name)
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value)
  made.append(...content)
  return made
}

export const link = (to: 'document' | 'connection', id: string): HTMLElement =>
  element('a', { href: `#/${to}/${encodeURIComponent(id)}` }, id)

/** A table that is filled anew; columns that begin with # are numbers. */
export const table = (caption: string, columns: readonly string[], otherwise: string) => {
  const body = element('tbody')
  const side = (column: string) => (column.startsWith('#') ? { class: 'number' } : {})
  const head = element(
    'tr',
    {},
    ...columns.map(column => element('th', { scope: 'col', ...side(column) }, column.replace('#', ''))),
  )
  const whole = element('table', {}, element('caption', {}, caption), element('thead', {}, head), body)
  return {
    element: element('div', { class: 'wide' }, whole),
    fill(rows: readonly (readonly Content[])[]): void {
      const none = element('tr', {}, element('td', { colspan: String(columns.length), class: 'none' }, otherwise))
      const lines = rows.map(cells => element('tr', {}, ...cells.map((cell, i) => element('td', side(columns[i]!), cell))))
      body.replaceChildren(...(lines.length === 0 ? [none] : lines))
    },
  }
}

/** Facts beside each other, each under its name. */
export const facts = () => {
  const list = element('dl')
  return {
    element: list,
    fill(pairs: readonly (readonly [name: string, value: Content])[]): void {
      list.replaceChildren(...pairs.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))))
    },
  }
}
