// What a client in Node has besides: a storage in files.
// Invariant: nothing of this is named by the client's own face, which runs in browsers.
export { type FileStorageOptions, fileStorage } from './files.ts'
