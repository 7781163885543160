// The engine's face: what the server builds on.

export type { Load } from './cadence.ts'
export { createEngine } from './engine.ts'
export type { EngineEvent } from './events.ts'
export type { Connection, Engine, EngineOptions, Outlet, Song } from './face.ts'
export { defaultLimits, type Limits } from './limits.ts'
