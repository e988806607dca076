// Storage that never throws. The browser may block it or it may be full; the pages work without it.

const guarded = (storage) => ({
  get(name) {
    try {
      return storage().getItem(`arkrelay.${name}`);
    } catch {
      return null;
    }
  },
  // Returns false if the value could not be stored.
  set(name, value) {
    try {
      storage().setItem(`arkrelay.${name}`, value);
      return true;
    } catch {
      return false;
    }
  },
  remove(name) {
    try {
      storage().removeItem(`arkrelay.${name}`);
    } catch {
      // storage is blocked, so nothing was stored
    }
  },
});

export const forever = guarded(() => localStorage);
export const tab = guarded(() => sessionStorage);
