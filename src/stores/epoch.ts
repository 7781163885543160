// Names new logs.

import { randomBytes } from 'node:crypto'
import type { Epoch } from '../protocol/ids.ts'

/** A new epoch: 96 random bits, so that no two logs that ever existed share one. */
export const freshEpoch = (): Epoch => randomBytes(12).toString('base64url') as Epoch
