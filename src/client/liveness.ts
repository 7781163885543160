// Whether the other end of a line still lives, told from when something was sent and when something was last heard.
// Invariant: no line is given up before it has been asked, and has had the time for an answer behind all that was sent before.

/** What the server owes. */
export type Liveness =
  /** Nothing: it has had the last word. */
  | { readonly kind: 'heard' }
  /** Something was sent at `at`, and nothing at all has come since. `bytes`: all that was sent from then on. */
  | { readonly kind: 'sent'; readonly at: number; readonly bytes: number }
  /** It was asked at `at` whether it is there. `bytes`: all that was sent since it was last heard. */
  | { readonly kind: 'asked'; readonly at: number; readonly bytes: number }

/** Milliseconds of silence after something was sent; a healthy server has answered ten times over by then. */
const silence = 3_000

/** Milliseconds for an answer: a phone between two cells is silent for some seconds and then goes on. */
const answerTime = 5_000

/**
 * Milliseconds. A verdict may be wrong, as on a slow line on which a large document is under way: each one that follows another without
 * an answer between them waits twice as long, up to what the transport's own heartbeat would take to notice.
 */
const longestAnswerTime = 40_000

/** Bytes a second that the slowest line worth keeping carries: what was sent needs its time before anything can answer it. */
const slowest = 16_384

export const heard: Liveness = { kind: 'heard' }

export const afterSending = (state: Liveness, now: number, bytes: number): Liveness =>
  state.kind === 'heard' ? { kind: 'sent', at: now, bytes } : { ...state, bytes: state.bytes + bytes }

export const afterAsking = (state: Liveness, now: number): Liveness => ({
  kind: 'asked',
  at: now,
  bytes: state.kind === 'heard' ? 0 : state.bytes,
})

/** When to look again; null: not before something is sent. `verdicts`: lines given up in a row without an answer between them. */
export const lookAt = (state: Liveness, verdicts: number): number | null => {
  if (state.kind === 'heard') return null
  const wait = state.kind === 'sent' ? silence : Math.min(longestAnswerTime, answerTime * 2 ** verdicts)
  return state.at + wait + Math.ceil((1_000 * state.bytes) / slowest)
}
