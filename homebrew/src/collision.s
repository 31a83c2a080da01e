; What stands in the landscape at a point.

.include "memory.inc"

.segment "CODE"

; Looks at the point A pixels right of and Y pixels below object X. Out: A the metatile there, with
; its flags; probe_x, probe_page and probe_at say where. Above and below the screen there is air.
probe:
  clc
  adc obj_x, x
  sta probe_x
  lda obj_x_page, x
  adc #0
  sta probe_page
  tya
  clc
  adc obj_y, x
  tay
  lda obj_y_page, x
  adc #0
  cmp #1
  bne @air
  tya
  sbc #32 ; carry is set; the landscape starts below the status line
  bcc @air
  cmp #TILES_PAGE
  bcs @air
  and #$F0
  sta probe_at
  lda probe_x
  lsr
  lsr
  lsr
  lsr
  ora probe_at
  sta probe_at
  tay
  lda probe_page
  lsr
  bcs :+
  lda tiles, y
  rts
: lda tiles + TILES_PAGE, y
  rts
@air:
  lda #TILE_AIR
  rts

; The same; carry is set where it is solid.
probe_solid:
  jsr probe
  beq @no
  cmp #TILE_COIN
  beq @no
  cmp #TILE_BALL
  beq @no
  cmp #TILE_POLE
  beq @no
  sec
  rts
@no:
  clc
  rts

; Puts metatile A at probe_page, probe_at, and on the screen.
put_tile:
  pha
  jsr queue_metatile
  pla
  tay
  lda probe_page
  lsr
  tya
  ldy probe_at
  bcs :+
  sta tiles, y
  rts
: sta tiles + TILES_PAGE, y
  rts
