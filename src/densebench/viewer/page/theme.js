// Light or dark as TensorBoard is, or as the system asks where TensorBoard doesn't say.

export function followTheme() {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const outer = outerBody();
  const apply = () => {
    const dark = outer ? outer.classList.contains("dark-mode") : system.matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    window.dispatchEvent(new Event("themechange"));
  };
  system.addEventListener("change", apply);
  if (outer) new MutationObserver(apply).observe(outer, { attributes: true, attributeFilter: ["class"] });
  apply();
}

function outerBody() {
  try {
    return window.parent !== window ? window.parent.document.body : null;
  } catch {
    return null; // another origin's page
  }
}
