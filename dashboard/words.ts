// Numbers and times as people read them.

export const count = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 1 : 0 })

export const bytes = (value: number): string => {
  const units = ['B', 'KiB', 'MiB', 'GiB']
  let at = 0
  for (; value >= 1_024 && at < units.length - 1; at++) value /= 1_024
  return `${count(value)} ${units[at]}`
}

export const duration = (seconds: number): string => {
  if (seconds === 0) return '0'
  if (seconds < 1) return `${Number((seconds * 1_000).toPrecision(2))} ms`
  if (seconds < 120) return `${Number(seconds.toPrecision(3))} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`
}

export const clock = (ms: number): string => new Date(ms).toLocaleTimeString('en-GB')
