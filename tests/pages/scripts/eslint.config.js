// What the pages' scripts are held to besides their types. `npx eslint .` here, or the test beside this folder.
import js from "@eslint/js";
import globals from "globals";

const markup = ["innerHTML", "outerHTML", "insertAdjacentHTML"];

export default [
  {
    files: ["**/*.js"],
    ...js.configs.recommended,
    languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      ...js.configs.recommended.rules,
      eqeqeq: "error",
      "no-console": "error",
      "no-else-return": "error",
      "no-implied-eval": "error",
      "no-restricted-properties": ["error", ...markup.map((property) => ({ property, message: "What is shown is only text." }))],
      "no-shadow": "error",
      "no-unused-expressions": "error",
      "no-use-before-define": ["error", { functions: false, variables: false }],
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
    },
  },
];
