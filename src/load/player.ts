// The program of the processes that `inkwell load` starts.

import { inkwell } from './inkwell.ts'
import { play } from './share.ts'

play({ inkwell })
