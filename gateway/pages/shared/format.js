// Formats numbers for display.

// 12 ms, 4.50 s, 1 min 30 s, 2 h 5 min, 4 d 3 h
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(ms < 9_995 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds >= 3600) return age(ms);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

// For estimates: 8 s, 3 min, 2 h 5 min, 4 d 3 h
export function roughly(ms) {
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  const minutes = Math.round(seconds / 60);
  return seconds < 90 ? `${seconds} s` : minutes < 60 ? `${minutes} min` : age(minutes * 60_000);
}

// For ages that are updated often, so without fractions of a second: 8 s, 3 min, 2 h 5 min, 4 d 3 h
export function age(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

// 1,234,567
export const whole = (n) => Math.round(n).toLocaleString('en');

// A number per minute: 0.4, 5, 12
export const rate = (n) => (n < 9.95 && !Number.isInteger(n) ? n.toFixed(1) : whole(n));

// 512 B, 1.5 MB, 12 GB
export function bytes(n) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let i = 0;
  for (; n >= 999.5 && i < units.length - 1; i++) n /= 1000;
  return `${i && n < 9.95 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}
