// What is mostly there at once, and sometimes only later.
// Invariant: what is there at once costs no promise. Whoever joins passes a dozen such places, and comes with ten thousand others.

export type Soon<T> = T | Promise<T>

/** Goes on with it: at once, or when it is there. */
export const andThen = <T, R>(soon: Soon<T>, next: (value: T) => Soon<R>): Soon<R> =>
  soon instanceof Promise ? soon.then(next) : next(soon)
