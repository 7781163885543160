// Where the system keeps the Chromium that browser tests drive; scripts/needs.mjs sees to it that there is one.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** @throws when no folder on the PATH has one */
export function chromiumPath(): string {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
      const path = join(folder, name)
      try {
        accessSync(path, constants.X_OK)
        return path
      } catch {
        // not here
      }
    }
  }
  throw new Error('there is no chromium on the PATH; `npm test` installs it where it may')
}
