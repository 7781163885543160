// Keeps a data directory to one process, since announcements reach only the process that makes them.
// Invariant: an owner gives a sign of life for as long as it owns, so a stale claim is told from a living one.

import { signsIn } from '../process/life.ts'

/** Where the present claim is written. `swap` is atomic across processes: it writes `next` only where `expected` still stands. */
export interface ClaimSlot {
  read(): string | null
  swap(expected: string | null, next: string | null): boolean
}

/**
 * Takes the directory for this process; resolves with how to give it back.
 * @throws when another living process, or another store in this one, has it.
 */
export const claim = async (directory: string, slot: ClaimSlot): Promise<() => Promise<void>> => {
  const signs = signsIn(directory)
  const sign = await signs.give()
  const mine = `${sign.token} ${process.pid}`
  const giveUp = async (): Promise<void> => {
    await sign.end()
    signs.close()
  }
  for (;;) {
    const [owner = '', pid] = slot.read()?.split(' ') ?? []
    if (owner !== '' && (await signs.lives(owner))) {
      await giveUp()
      throw new Error(
        `the data directory ${directory} is in use by another server (process ${pid}); one directory serves one process`,
      )
    }
    if (slot.swap(owner === '' ? null : `${owner} ${pid}`, mine)) break
  }
  await signs.sweep()
  return async () => {
    slot.swap(mine, null)
    await giveUp()
  }
}
