// Has somebody hear of what happens as soon as the work that it happens in is done: what is measured of an edit does not hold it up.
// Invariant: everything is heard once and in its order, before the event loop turns; a hearing that fails costs the others nothing.

/** @param failed gets what `hear` throws */
export const afterwards = <T>(hear: (item: T) => void, failed: (error: unknown) => void): ((item: T) => void) => {
  let waiting: T[] = []
  const tell = (): void => {
    const told = waiting
    waiting = []
    for (const item of told) {
      try {
        hear(item)
      } catch (error) {
        failed(error)
      }
    }
  }
  return item => {
    if (waiting.push(item) === 1) void done.then(tell)
  }
}

const done = Promise.resolve()
