// The engine's face: what the server builds on.

export { type Connection, createEngine, type Engine, type EngineOptions, type Outlet } from './engine.ts'
export type { EngineEvent, Observe } from './events.ts'
export { defaultLimits, type Limits } from './limits.ts'
