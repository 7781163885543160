// Pages of docs with parts that are made from the sources.

/** The page with this content in the place of that name. */
export const between = (page: string, name: string, content: string): string => {
  const [start, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`]
  const [from, to] = [page.indexOf(start), page.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`the page has no place for ${name}`)
  return `${page.slice(0, from + start.length)}\n${content}\n${page.slice(to)}`
}
