import a,{b as c}from"./a.js";export*from"./b.js";const d=/[/"']/.test(`${import("./c.js")}`)/2;new URL("d.png",import.meta.url)
//# sourceMappingURL=e.js.map
