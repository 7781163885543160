// What the page remembers in this browser from one visit to the next.
// Invariant: a browser that keeps nothing for us costs the writer nothing but that memory.

export const recall = (key: string): string | null => {
  try {
    return localStorage.getItem(key)
  } catch {
    return null
  }
}

export const keep = (key: string, value: string): void => {
  try {
    localStorage.setItem(key, value)
  } catch {
    // private window, blocked or full
  }
}
