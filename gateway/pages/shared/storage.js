// Storage that never throws: it may be forbidden or full, and a page works without it.

const guarded = (storage) => ({
  get(name) {
    try {
      return storage().getItem(`arkrelay.${name}`);
    } catch {
      return null;
    }
  },
  // False when it could not be kept.
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
      // nothing was kept
    }
  },
});

export const forever = guarded(() => localStorage);
export const tab = guarded(() => sessionStorage);
