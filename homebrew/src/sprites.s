; Puts pictures into the list of sprites.

.include "memory.inc"

.segment "CODE"

; Draws object X: A first tile, Y attributes, t2 rows of 8 pixels, t7 pixels below its place.
draw_object:
  sta t0
  sty t1
  lda obj_y, x
  clc
  adc t7
  sta t3
  lda obj_y_page, x
  adc #0
  sta t4
  lda obj_x, x
  sec
  sbc edge
  sta t5
  lda obj_x_page, x
  sbc edge_page
  sta t6
  ; goes on in draw_image

; Draws a picture 16 pixels wide: t0 first tile, t1 attributes, t2 rows of 8 pixels, t3 and t4 y and
; its page, t5 and t6 x on the screen and its page. What is outside of the screen is left out.
draw_image:
  stx t7
  ldx oam_next
@row:
  ldy t4
  dey
  bne @next
  lda t3
  cmp #240
  bcs @next
  bit t1 ; bit 6 is FLIP: then the right tile is drawn at the left
  bvc :+
  inc t0
: lda t5
  ldy t6 ; sets Z
  jsr @half
  bit t1
  bvs :+
  inc t0
  inc t0
: dec t0
  lda t5
  clc
  adc #8
  ldy t6
  bcc :+
  iny
: cpy #0
  jsr @half
  bit t1
  bvs @next
  dec t0
@next:
  inc t0
  inc t0
  lda t3
  clc
  adc #8
  sta t3
  bcc :+
  inc t4
: dec t2
  bne @row
  stx oam_next
  ldx t7
  rts

@half: ; at A, unless Z says that its page is not the screen
  bne @out
  cpx #0
  beq @out ; no sprite is left
  sta oam + 3, x
  lda t1
  sta oam + 2, x
  lda t0
  sta oam + 1, x
  ldy t3
  dey ; sprites appear a line below their y
  tya
  sta oam, x
  inx
  inx
  inx
  inx
@out:
  rts
