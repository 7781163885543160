// MessagePack as a well-known package writes it: what a client that is not ours would send, and what our own must agree with.

import { Packr } from 'msgpackr'

// skipValues is an option that the package's types leave out: a property that is undefined is absent, as in JSON.
const options = { useRecords: false, variableMapSize: true, skipValues: [undefined] } as ConstructorParameters<typeof Packr>[0]
const packr = new Packr(options)

export const packed = (value: unknown): Uint8Array => Uint8Array.from(packr.pack(value))
