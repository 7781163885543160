// The program of the processes that play clients of Inkwell and of its peers.

import { inkwell } from '../../src/load/inkwell.ts'
import { play } from '../../src/load/share.ts'
import { tongues } from './tongues.ts'

play({ inkwell, ...tongues })
