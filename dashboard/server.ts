// What the page asks of the server, with the token of whoever looks.
// Invariant: nothing is asked but by GET; the token is kept in this tab alone and goes into one header, never into an address.

export interface OpenDocument {
  readonly id: string
  readonly version: number
  readonly durable: number
  readonly members: number
  readonly commits: number
  readonly commitsPerSecond: number
  readonly deliveriesPerSecond: number
}

export interface Connection {
  readonly id: string
  readonly user: { readonly id: string; readonly name?: string }
  readonly author: string
  readonly address: string
  readonly since: number
  readonly form: string
  readonly documents: readonly { readonly id: string; readonly right: string | null }[]
  readonly bytesIn: number
  readonly bytesOut: number
  readonly waiting: number
  readonly behind: boolean
}

export interface OneDocument {
  readonly id: string
  readonly type: string
  readonly epoch: string
  readonly version: number
  readonly people: number
  readonly peers: readonly {
    readonly peer: string
    readonly author: string
    readonly user: { readonly id: string; readonly name?: string }
    readonly version: number
  }[]
}

export interface Commits {
  readonly commits: readonly {
    readonly version: number
    readonly author: string
    readonly seq: number
    readonly user: string
    readonly time: number
    readonly op: unknown
  }[]
}

/** The server does not take the token. */
export class Stranger extends Error {}
/** What was asked for is not there. */
export class Nothing extends Error {}

const key = 'inkwell-admin-token'
export const token = {
  get: (): string | null => sessionStorage.getItem(key),
  set: (value: string): void => sessionStorage.setItem(key, value),
  forget: (): void => sessionStorage.removeItem(key),
}

const ask = async (path: string): Promise<Response> => {
  const response = await fetch(path, { headers: { authorization: `Bearer ${token.get() ?? ''}` }, cache: 'no-store' })
  if (response.status === 401) throw new Stranger()
  if (response.status === 404) throw new Nothing()
  if (!response.ok) throw new Error(`the server answers ${response.status}`)
  return response
}

const json = async <T>(path: string): Promise<T> => (await ask(path)).json() as Promise<T>

export const metrics = async (): Promise<string> => (await ask('metrics')).text()
export const load = () => json<{ readonly busiest: readonly OpenDocument[] }>('v1/load?limit=20')
export const connections = (query = '') =>
  json<{ readonly connections: readonly Connection[]; readonly count: number }>(`v1/connections?limit=30${query}`)
export const one = (id: string) => json<OneDocument>(`v1/documents/${encodeURIComponent(id)}?text=no`)
export const commits = (id: string) => json<Commits>(`v1/documents/${encodeURIComponent(id)}/commits?limit=20`)
