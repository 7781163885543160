// The end of every exhaustive switch: a union arm that nobody thought of fails the build here, not a user.

export const unreachable = (value: never): never => {
  throw new TypeError(`unreachable: ${JSON.stringify(value)}`)
}
