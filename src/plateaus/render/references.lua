-- Resolve references such as @fig-x, [-@fig-x] and [@fig-x; @tbl-y] with the numbers that floats.lua stored.

local NAMES = { fig = "Figure", tbl = "Table", sec = "Section", eq = "Equation" }
local NBSP = "\u{a0}"
local numbers = {}

local function reference(cite)
  local inlines = pandoc.Inlines({})
  for _, citation in ipairs(cite.citations) do
    -- In Quarto a capital (@Fig-x) asks for a capitalised name; the names here always have capitals.
    local id = citation.id:sub(1, 1):lower() .. citation.id:sub(2)
    local name = NAMES[id:match("^(%a+)%-") or ""]
    if name then
      if #inlines > 0 then inlines:extend({ pandoc.Str(","), pandoc.Space() }) end
      if numbers[id] then
        local text = pandoc.Inlines({})
        if #citation.prefix > 0 then
          text:extend(citation.prefix)
          text:insert(pandoc.Str(NBSP))
        elseif citation.mode ~= "SuppressAuthor" then
          text:insert(pandoc.Str(name .. NBSP))
        end
        text:insert(pandoc.Str((numbers[id]:gsub(" ", NBSP))))
        inlines:insert(pandoc.Link(text, "#" .. id, "", pandoc.Attr("", { "quarto-xref" })))
      else
        io.stderr:write("unresolved reference @" .. id .. "\n")
        inlines:insert(pandoc.Strong({ pandoc.Str("?@" .. id) }))
      end
    end
  end
  if #inlines > 0 then return inlines end
end

function Pandoc(document)
  for id, text in pairs(document.meta["reference-numbers"] or {}) do numbers[id] = pandoc.utils.stringify(text) end
  document.meta["reference-numbers"] = nil
  return document:walk({ Cite = reference })
end
