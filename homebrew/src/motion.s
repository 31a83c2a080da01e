; Moves objects by their speeds. X is the object; it is kept.

.include "memory.inc"

.segment "CODE"

; Moves by the speed along x: 1/16 pixel a frame, so the upper four bits are whole pixels.
move_x:
  lda obj_x_speed, x
  asl
  asl
  asl
  asl
  clc
  adc obj_x_sub, x
  sta obj_x_sub, x
  php
  lda obj_x_speed, x
  lsr
  lsr
  lsr
  lsr
  ldy #0
  cmp #8
  bcc :+
  ora #$F0 ; negative
  dey
: plp
  adc obj_x, x
  sta obj_x, x
  tya
  adc obj_x_page, x
  sta obj_x_page, x
  rts

; Moves by the speed along y: pixels and 1/256 pixels a frame.
move_y:
  lda obj_y_sub, x
  clc
  adc obj_y_frac, x
  sta obj_y_sub, x
  ldy #0
  lda obj_y_speed, x
  bpl :+
  dey
: adc obj_y, x
  sta obj_y, x
  tya
  adc obj_y_page, x
  sta obj_y_page, x
  rts

; Adds A / 256 pixel a frame to the speed downwards, up to Y pixels a frame.
fall:
  sty t0
  clc
  adc obj_y_frac, x
  sta obj_y_frac, x
  bcc :+
  inc obj_y_speed, x
: lda obj_y_speed, x
  bmi @done
  cmp t0
  bcc @done
  tya
  sta obj_y_speed, x
  lda #0
  sta obj_y_frac, x
@done:
  rts
