// docs/SECURITY-MODEL.md names tests that exist.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const root = join(import.meta.dirname, '..', '..')
const page = readFileSync(join(root, 'docs', 'SECURITY-MODEL.md'), 'utf8')
const named = [...page.matchAll(/\| `(test\/[^`]+)`: (.+) \|$/gm)].map(([, file, title]) => ({ file: file!, title: title! }))

it('[P5] [P6] every row of the security model names a test, and that test is there', () => {
  const rows = page.split('\n').filter(row => /^\| /.test(row)).length - 1
  expect(named.length).toBe(rows)
  expect(rows).toBeGreaterThan(15)
  const missing = named.filter(
    ({ file, title }) => !existsSync(join(root, file)) || !readFileSync(join(root, file), 'utf8').includes(title),
  )
  expect(missing).toEqual([])
})

it('links of SECURITY.md lead somewhere', () => {
  const links = [...readFileSync(join(root, 'SECURITY.md'), 'utf8').matchAll(/\]\(([^)#]+)\)/g)].map(([, path]) => path!)
  expect(links.length).toBeGreaterThan(1)
  expect(links.filter(path => !existsSync(join(root, path)))).toEqual([])
})
