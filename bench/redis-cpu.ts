// What a Redis under measurement has cost so far.
// Invariant: all of its threads count, and what it forks does not.

import type { RedisServer } from '../test/redis.ts'

/** Microseconds of CPU. */
export const cpuOf = async (redis: RedisServer): Promise<number> => {
  const told = await redis.do(client => client.info('cpu'))
  const seconds = ['user', 'sys'].map(kind => Number(new RegExp(`^used_cpu_${kind}:([\\d.]+)`, 'm').exec(told)![1]))
  return (seconds[0]! + seconds[1]!) * 1e6
}
