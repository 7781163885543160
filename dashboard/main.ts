// The operator's page: asks the server every two seconds how it is, and shows it.
// Invariant: one round of questions at a time; a round that fails says so on the page, and the next one is asked all the same.

import { element } from './elements.ts'
import { numberOf, readScrape, type Scrape } from './numbers.ts'
import { metrics, Nothing, Stranger, token } from './server.ts'
import { connectionView, documentView, overview, serverCharts, type View } from './views.ts'

const every = 2_000 // ms between two rounds
const span = 10 // seconds over which what goes on is counted

const at = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T
const [login, pause, leave, notice] = [at<HTMLFormElement>('login'), at('pause'), at('leave'), at('notice')]

const whole = serverCharts()
const scrapes: Scrape[] = []
let view: View | null = null
let paused = false
let asking = false

const viewAt = (address: string): View => {
  const [, kind, ...rest] = address.split('/')
  const id = decodeURIComponent(rest.join('/'))
  if (kind === 'document' && id !== '') return documentView(id)
  if (kind === 'connection' && id !== '') return connectionView(id)
  return overview(whole.charts)
}

const show = (): void => {
  view = viewAt(location.hash)
  at('view').replaceChildren(view.element)
  draw()
  void round()
}

const draw = (): void => {
  for (const chart of view?.charts ?? []) chart.draw()
}

const tellState = (now: Scrape): void => {
  const [, version, store] = /inkwell_build_info\{version="([^"]*)",store="([^"]*)"/.exec([...now.values.keys()].join('\n')) ?? []
  const up = numberOf(now, 'inkwell_store_up') === 1
  const draining = numberOf(now, 'inkwell_draining') === 1
  const ready = numberOf(now, 'inkwell_ready') === 1
  const say = (good: boolean, text: string) => element('li', { 'data-good': String(good) }, text)
  at('state').replaceChildren(
    say(ready, draining ? 'draining' : ready ? 'ready' : 'not ready'),
    say(up, up ? `${store} answers` : `${store} does not answer`),
    element('li', {}, `version ${version}`),
  )
}

const round = async (): Promise<void> => {
  if (asking || token.get() === null) return
  asking = true
  const here = view
  try {
    const now = readScrape(await metrics(), Date.now() / 1_000)
    const before = scrapes.findLast(({ at }) => at <= now.at - span) ?? scrapes[0] ?? now
    scrapes.push(now)
    while (scrapes.length > 1 && scrapes[1]!.at < now.at - 2 * span) scrapes.shift()
    whole.add(before, now)
    tellState(now)
    await here?.refresh(before, now)
    notice.textContent = ''
  } catch (error) {
    if (error instanceof Stranger) return enter('The server does not take this token.')
    notice.textContent =
      error instanceof Nothing ? 'There is nothing of this name.' : `No answer: ${error instanceof Error ? error.message : error}`
  } finally {
    asking = false
  }
  if (view !== here) void round()
}

/** Asks for the token. */
const enter = (why: string): void => {
  token.forget()
  login.hidden = false
  for (const button of [pause, leave]) button.hidden = true
  at('view').replaceChildren()
  at('state').replaceChildren()
  notice.textContent = ''
  view = null
  at('refused').textContent = why
  at('token').focus()
}

const begin = (): void => {
  login.hidden = true
  for (const button of [pause, leave]) button.hidden = false
  show()
}

login.addEventListener('submit', event => {
  event.preventDefault()
  const input = at<HTMLInputElement>('token')
  token.set(input.value)
  input.value = ''
  begin()
})
leave.addEventListener('click', () => enter(''))
pause.addEventListener('click', () => {
  paused = !paused
  pause.textContent = paused ? 'Go on' : 'Pause'
})
addEventListener('hashchange', () => {
  if (token.get() !== null) show()
})
addEventListener('resize', draw)
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw)
setInterval(() => {
  if (!paused && !document.hidden) void round()
}, every)

if (token.get() === null) enter('')
else begin()
